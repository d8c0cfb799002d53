-- Inserts only missing rows, because a conflict would use up a number of the sequence, and trimming goes by these
-- numbers.
INSERT INTO quarantine (source, token, reason, raw, raw_hash)
SELECT source, token, reason, raw, raw_hash
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[]) AS incoming (source, token, reason, raw, raw_hash)
WHERE NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.raw_hash = incoming.raw_hash AND q.reason = incoming.reason)
ON CONFLICT (raw_hash, reason) DO NOTHING
RETURNING token, reason
