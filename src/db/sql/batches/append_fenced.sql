-- The fence, the last statement of every write. Returns no row if another replica has the lease.
WITH s AS (UPDATE ingest_lease SET seq = seq + 1 WHERE name = 'ingest' AND epoch = $1 RETURNING seq)
INSERT INTO ingest_batches (seq, kind, from_token, to_token, trades)
SELECT seq, $2, $3, $4, $5 FROM s
RETURNING seq, committed_at
