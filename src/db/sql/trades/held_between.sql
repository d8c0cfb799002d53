-- The newest $5 rows between two positions, with the assets of the market and those of the row as Horizon spells them.
SELECT t.toid, t.trade_order, t.ledger_close_time, t.base_amount, t.counter_amount, t.price_n, t.price_d,
       t.base_is_seller, t.liquidity_pool_id IS NOT NULL AS is_pool,
       t.base_account, t.counter_account, t.liquidity_pool_id,
       mb.spelt AS market_base, mc.spelt AS market_counter, b.spelt AS row_base, c.spelt AS row_counter
FROM (SELECT * FROM trades
      WHERE (toid, trade_order) >= ($1, $2) AND (toid, trade_order) < ($3, $4)
      ORDER BY toid DESC, trade_order DESC LIMIT $5) t
LEFT JOIN markets m ON m.id = t.market_id
LEFT JOIN LATERAL (SELECT CASE issuer WHEN 'native' THEN issuer ELSE code || ':' || issuer END AS spelt
                   FROM assets WHERE id = m.base_asset_id) mb ON true
LEFT JOIN LATERAL (SELECT CASE issuer WHEN 'native' THEN issuer ELSE code || ':' || issuer END AS spelt
                   FROM assets WHERE id = m.counter_asset_id) mc ON true
LEFT JOIN LATERAL (SELECT CASE issuer WHEN 'native' THEN issuer ELSE code || ':' || issuer END AS spelt
                   FROM assets WHERE id = t.base_asset_id) b ON true
LEFT JOIN LATERAL (SELECT CASE issuer WHEN 'native' THEN issuer ELSE code || ':' || issuer END AS spelt
                   FROM assets WHERE id = t.counter_asset_id) c ON true
