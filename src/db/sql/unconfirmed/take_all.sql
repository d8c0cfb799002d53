DELETE FROM unconfirmed_ranges RETURNING from_ledger, to_ledger, from_time, to_time
