-- Inserts only missing rows, because a conflict would use up a number of the sequence.
INSERT INTO assets (code, issuer, type)
SELECT code, issuer, type FROM unnest($1::text[], $2::text[], $3::text[]) AS incoming (code, issuer, type)
WHERE NOT EXISTS (SELECT 1 FROM assets a WHERE a.code = incoming.code AND a.issuer = incoming.issuer)
ON CONFLICT (code, issuer) DO NOTHING
