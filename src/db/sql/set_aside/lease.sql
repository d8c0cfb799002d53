SELECT expires_at > now() FROM ingest_lease WHERE name = 'ingest' FOR UPDATE
