INSERT INTO market_accounts (until, counts_from, market_id, takers, makers, largest_pair)
SELECT $1, $2, * FROM unnest($3::int[], $4::int[], $5::int[], $6::smallint[])
ON CONFLICT DO NOTHING
