SELECT * FROM trades
WHERE market_id = :market AND ledger_close_time > ':from' AND ledger_close_time <= ':to'
ORDER BY toid, trade_order;
