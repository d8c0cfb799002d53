SELECT seq, kind, committed_at
FROM ingest_batches
WHERE kind IN ('live', 'backfill', 'repair')
  AND split_part(from_token, '-', 1)::bigint <= $1
  AND split_part(to_token, '-', 1)::bigint >= $1
ORDER BY seq
LIMIT $2
