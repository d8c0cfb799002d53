-- The last statement of every write: no row comes back when the lease was lost.
WITH s AS (UPDATE ingest_lease SET seq = seq + 1 WHERE name = 'ingest' AND epoch = $1 RETURNING seq)
INSERT INTO ingest_batches (seq, kind, from_token, to_token, trades)
SELECT seq, $2, $3, $4, $5 FROM s
RETURNING seq, committed_at
