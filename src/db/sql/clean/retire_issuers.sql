DELETE FROM issuers i
WHERE i.public_key <> 'native' AND NOT EXISTS (SELECT 1 FROM assets a WHERE a.issuer = i.public_key)
