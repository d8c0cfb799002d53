INSERT INTO unproven_ledgers AS known (from_ledger, from_time) VALUES ($1, $2)
ON CONFLICT (only_row) DO UPDATE SET from_ledger = excluded.from_ledger, from_time = excluded.from_time
WHERE excluded.from_ledger < known.from_ledger
