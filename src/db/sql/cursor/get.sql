SELECT token FROM ingest_cursor WHERE name = $1
