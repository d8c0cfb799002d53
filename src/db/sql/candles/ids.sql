-- The number of these markets in the tables of candles.
SELECT m.id, k.id
FROM markets m JOIN assets b ON b.id = m.base_asset_id JOIN assets c ON c.id = m.counter_asset_id
JOIN candle_markets k ON k.base = CASE b.issuer WHEN 'native' THEN b.issuer ELSE b.code || ':' || b.issuer END
                     AND k.counter = CASE c.issuer WHEN 'native' THEN c.issuer ELSE c.code || ':' || c.issuer END
WHERE m.id = ANY ($1)
