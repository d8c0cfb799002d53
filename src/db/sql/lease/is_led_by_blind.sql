SELECT expires_at > now() AND holder LIKE '%+blind' FROM ingest_lease WHERE name = 'ingest'
