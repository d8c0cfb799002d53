SELECT ledger_close_time, market_id, base_amount, counter_amount, price_n, price_d
FROM trades
WHERE toid = $1 AND trade_order = $2
