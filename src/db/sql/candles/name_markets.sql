-- Names the markets that have no candles yet. An identity is used up for these only.
INSERT INTO candle_markets (base, counter)
SELECT named.base, named.counter
FROM (SELECT CASE b.issuer WHEN 'native' THEN b.issuer ELSE b.code || ':' || b.issuer END AS base,
             CASE c.issuer WHEN 'native' THEN c.issuer ELSE c.code || ':' || c.issuer END AS counter
      FROM markets m JOIN assets b ON b.id = m.base_asset_id JOIN assets c ON c.id = m.counter_asset_id
      WHERE m.id = ANY ($1)) named
WHERE NOT EXISTS (SELECT FROM candle_markets k WHERE k.base = named.base AND k.counter = named.counter)
ON CONFLICT (base, counter) DO NOTHING
