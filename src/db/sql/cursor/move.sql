UPDATE ingest_cursor SET token = $2 WHERE name = $1 AND token IS NOT DISTINCT FROM $3
