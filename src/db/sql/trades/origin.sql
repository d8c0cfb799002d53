SELECT market_id, toid, trade_order, ledger_close_time, base_amount, counter_amount, price_n, price_d,
       base_is_seller, liquidity_pool_id IS NOT NULL AS is_pool
FROM trades
WHERE toid = $1 AND trade_order = $2
