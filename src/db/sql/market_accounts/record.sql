-- All rows of one time are of one count.
INSERT INTO market_accounts (until, counts_from, market_id, takers, makers, largest_pair)
SELECT $1, $2, * FROM unnest($3::int[], $4::int[], $5::int[], $6::smallint[])
WHERE NOT EXISTS (SELECT FROM market_accounts WHERE until = $1)
ON CONFLICT DO NOTHING
