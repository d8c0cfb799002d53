SELECT holder, expires_at > now() FROM ingest_lease
