SELECT token FROM ingest_cursor WHERE name = 'numbers'
