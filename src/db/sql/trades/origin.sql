SELECT ledger_close_time, market_id FROM trades WHERE toid = $1 AND trade_order = $2
