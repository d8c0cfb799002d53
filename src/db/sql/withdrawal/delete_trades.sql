-- Deletes the trades of a range of ledgers. Returns their number, and the times between which they closed.
WITH gone AS (DELETE FROM trades WHERE toid >= $1 AND toid < $2 RETURNING ledger_close_time)
SELECT count(*), min(ledger_close_time), max(ledger_close_time) FROM gone
