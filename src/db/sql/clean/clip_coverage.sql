-- A range that reaches into days that are gone begins at the oldest ledger whose trades are there.
WITH oldest AS (SELECT toid >> 32 AS ledger, ledger_close_time FROM trades ORDER BY toid LIMIT 1)
UPDATE coverage SET from_ledger = oldest.ledger, from_time = oldest.ledger_close_time
FROM oldest
WHERE from_ledger < oldest.ledger AND to_ledger >= oldest.ledger
