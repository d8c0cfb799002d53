SELECT EXISTS (SELECT FROM ingest_lease WHERE name = 'ingest' AND expires_at > now())
