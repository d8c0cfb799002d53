SELECT seq, kind, from_token, to_token, committed_at FROM ingest_batches WHERE seq >= $1 ORDER BY seq LIMIT $2
