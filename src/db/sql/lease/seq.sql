SELECT seq FROM ingest_lease WHERE name = 'ingest'
