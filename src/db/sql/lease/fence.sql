-- Returns no row if another replica has the lease. The lock keeps it from being taken before the commit.
SELECT 1 FROM ingest_lease WHERE name = 'ingest' AND epoch = $1 FOR SHARE
