SELECT from_ledger, from_time FROM unproven_ledgers
