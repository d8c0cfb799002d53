SELECT market_id, toid, trade_order, ledger_close_time, base_amount, counter_amount, price_n, price_d
FROM trades WHERE (toid, trade_order) >= ($1, $2) AND (toid, trade_order) <= ($3, $4) AND ledger_close_time > $5
