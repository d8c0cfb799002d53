SELECT id, code, issuer FROM assets WHERE toml_url = $1 AND meets_rules
