SELECT passphrase FROM network
