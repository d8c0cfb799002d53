-- Rows in these ranges of identities, in all partitions. Ranges cost a few look-ups in each index, not one per trade.
SELECT t.toid, t.trade_order, t.ledger_close_time, t.market_id, t.base_amount, t.counter_amount, t.price_n, t.price_d,
       t.base_is_seller, t.liquidity_pool_id IS NOT NULL AS is_pool, t.base_account, t.counter_account, t.liquidity_pool_id
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (low, high)
JOIN trades t ON t.toid BETWEEN wanted.low AND wanted.high
