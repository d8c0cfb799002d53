UPDATE ingest_lease SET expires_at = '-infinity' WHERE name = 'ingest' AND epoch = $1
