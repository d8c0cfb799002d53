SELECT market_id, toid, trade_order, ledger_close_time, base_amount, counter_amount, price_n, price_d,
       base_is_seller, liquidity_pool_id IS NOT NULL AS is_pool
FROM trades WHERE (toid, trade_order) >= ($1, $2) AND (toid, trade_order) <= ($3, $4) AND ledger_close_time > $5
LIMIT $6
