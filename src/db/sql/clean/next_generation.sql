-- Makes all writers discard the ids that they have cached; see ids/generation.sql.
INSERT INTO ingest_cursor (name, token)
SELECT 'numbers', (seq + 1)::text FROM ingest_lease WHERE name = 'ingest'
ON CONFLICT (name) DO UPDATE SET token = excluded.token
