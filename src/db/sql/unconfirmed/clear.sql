-- A row that was lowered meanwhile stays.
DELETE FROM unproven_ledgers WHERE from_ledger >= $1
