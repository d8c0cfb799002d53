INSERT INTO assets (code, issuer, type)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
ON CONFLICT (code, issuer) DO NOTHING
