SELECT id, code, issuer FROM assets WHERE id = ANY ($1)
