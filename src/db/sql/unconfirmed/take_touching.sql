DELETE FROM unconfirmed_ranges WHERE from_ledger <= $2 + 1 AND to_ledger >= $1 - 1
RETURNING from_ledger, to_ledger, from_time, to_time
