SELECT EXISTS (SELECT 1 FROM assets WHERE checked_at IS NOT NULL AND issuer <> 'native')
