INSERT INTO coverage (from_ledger, to_ledger, from_time, to_time)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[])
ON CONFLICT (from_ledger) DO UPDATE SET to_ledger = excluded.to_ledger, to_time = excluded.to_time
WHERE coverage.to_ledger < excluded.to_ledger
