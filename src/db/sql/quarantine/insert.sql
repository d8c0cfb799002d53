INSERT INTO quarantine (source, token, reason, raw, raw_hash)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[])
ON CONFLICT (raw_hash, reason) DO NOTHING
RETURNING token, reason
