INSERT INTO unproven_ledgers (from_ledger, from_time) VALUES ($1, $2)
ON CONFLICT (only_row) DO UPDATE SET from_ledger = excluded.from_ledger, from_time = excluded.from_time
