-- Shortens ranges that reach into dropped days, so that they begin at the oldest ledger with stored trades.
WITH oldest AS (SELECT toid >> 32 AS ledger, ledger_close_time FROM trades ORDER BY toid LIMIT 1)
UPDATE coverage SET from_ledger = oldest.ledger, from_time = oldest.ledger_close_time
FROM oldest
WHERE from_ledger < oldest.ledger AND to_ledger >= oldest.ledger
