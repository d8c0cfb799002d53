INSERT INTO unconfirmed_ranges (from_ledger, to_ledger, from_time, to_time)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[])
