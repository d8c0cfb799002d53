UPDATE ingest_lease SET expires_at = now() + make_interval(secs => $2) WHERE name = 'ingest' AND epoch = $1
