SELECT id, code, issuer FROM assets
