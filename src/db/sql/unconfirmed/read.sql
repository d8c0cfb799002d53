SELECT from_ledger, to_ledger, from_time, to_time FROM unconfirmed_ranges
UNION ALL
-- A replica of an earlier version wrote only the lowest ledger: all from there on are unconfirmed.
SELECT from_ledger, 4294967295, from_time, from_time FROM unproven_ledgers
ORDER BY from_ledger
