SELECT DISTINCT market_id FROM trades WHERE (toid, trade_order) >= ($1, $2) AND (toid, trade_order) <= ($3, $4)
