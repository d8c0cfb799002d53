SELECT committed_at FROM ingest_batches ORDER BY seq LIMIT 1
