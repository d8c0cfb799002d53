SELECT EXISTS (SELECT 1 FROM assets WHERE issuer <> 'native')
