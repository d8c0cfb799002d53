-- Only what is missing: a conflict would use up a number of the sequence, and by their numbers the oldest are dropped.
INSERT INTO quarantine (source, token, reason, raw, raw_hash)
SELECT source, token, reason, raw, raw_hash
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[]) AS told (source, token, reason, raw, raw_hash)
WHERE NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.raw_hash = told.raw_hash AND q.reason = told.reason)
ON CONFLICT (raw_hash, reason) DO NOTHING
RETURNING token, reason
