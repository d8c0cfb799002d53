-- The lowest toid of the trades that closed from $1 on.
SELECT toid FROM trades WHERE ledger_close_time >= $1 ORDER BY toid LIMIT 1
