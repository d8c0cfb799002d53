-- Creates the row again if somebody deleted it. That is safe, because the fence admits one writer. Returns true if it
-- did.
INSERT INTO ingest_cursor (name, token) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET token = excluded.token
WHERE ingest_cursor.token IS NOT DISTINCT FROM $3
RETURNING xmax = 0
