SELECT toid, trade_order, ledger_close_time FROM trades ORDER BY toid DESC, trade_order DESC LIMIT $1
