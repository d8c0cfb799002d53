-- Only what is missing: a conflict would use up a number of the sequence.
INSERT INTO assets (code, issuer, type)
SELECT code, issuer, type FROM unnest($1::text[], $2::text[], $3::text[]) AS told (code, issuer, type)
WHERE NOT EXISTS (SELECT 1 FROM assets a WHERE a.code = told.code AND a.issuer = told.issuer)
ON CONFLICT (code, issuer) DO NOTHING
