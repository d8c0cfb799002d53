-- Places of the trades between two positions, both inclusive.
SELECT market_id, toid, trade_order, ledger_close_time FROM trades
WHERE (toid, trade_order) >= ($1, $2) AND (toid, trade_order) <= ($3, $4)
ORDER BY toid, trade_order LIMIT $5
