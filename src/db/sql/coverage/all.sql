SELECT from_ledger, to_ledger, from_time, to_time FROM coverage
