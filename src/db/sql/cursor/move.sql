-- Makes the row again where somebody deleted it: there is one writer, by the fence. Says whether it did.
INSERT INTO ingest_cursor (name, token) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET token = excluded.token
WHERE ingest_cursor.token IS NOT DISTINCT FROM $3
RETURNING xmax = 0
