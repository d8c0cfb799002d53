-- An issuer's row belongs to the asset's issuer; its link is that of the asset's home domain.
INSERT INTO issuers (public_key, toml_url)
SELECT DISTINCT ON (public_key) public_key, toml_url
FROM unnest($1::text[], $2::text[]) AS told (public_key, toml_url)
WHERE NOT EXISTS (SELECT 1 FROM issuers i WHERE i.public_key = told.public_key AND i.toml_url = told.toml_url)
ON CONFLICT (public_key) DO UPDATE SET toml_url = excluded.toml_url
