-- What is held already of these identities, in whatever partition.
SELECT t.toid, t.trade_order, t.ledger_close_time, t.market_id, t.base_amount, t.counter_amount, t.price_n, t.price_d,
       t.base_is_seller, t.base_account, t.counter_account, t.liquidity_pool_id
FROM unnest($1::bigint[], $2::int[]) AS wanted (toid, trade_order)
JOIN trades t ON t.toid = wanted.toid AND t.trade_order = wanted.trade_order
