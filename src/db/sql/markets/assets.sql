SELECT m.id, b.code, b.issuer, c.code, c.issuer
FROM markets m JOIN assets b ON b.id = m.base_asset_id JOIN assets c ON c.id = m.counter_asset_id
WHERE m.id = ANY ($1)
