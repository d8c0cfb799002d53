-- The raw trades of the markets $2 that closed after $1, without those in the ranges $4 to $7, none of which begins
-- before $3. No index by market exists on purpose: a scan of the week costs less than maintaining one at every insert.
SELECT t.market_id, t.toid, t.trade_order, t.ledger_close_time, t.base_amount, t.counter_amount, t.price_n, t.price_d,
       t.base_is_seller, t.liquidity_pool_id IS NOT NULL AS is_pool
FROM trades t
JOIN unnest($2::int[]) AS slice (market_id) ON slice.market_id = t.market_id
WHERE t.ledger_close_time > $1
  AND (t.toid < $3 OR NOT EXISTS (
      SELECT 1 FROM unnest($4::bigint[], $5::int[], $6::bigint[], $7::int[]) AS later (toid, trade_order, to_toid, to_order)
      WHERE (t.toid, t.trade_order) >= (later.toid, later.trade_order)
        AND (t.toid, t.trade_order) <= (later.to_toid, later.to_order)))
