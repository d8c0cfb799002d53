-- Stores the link to stellar.toml, which Horizon returns with an asset, in the row of the asset's issuer.
INSERT INTO issuers (public_key, toml_url)
SELECT DISTINCT ON (public_key) public_key, toml_url
FROM unnest($1::text[], $2::text[]) AS incoming (public_key, toml_url)
WHERE NOT EXISTS (SELECT 1 FROM issuers i WHERE i.public_key = incoming.public_key AND i.toml_url = incoming.toml_url)
ON CONFLICT (public_key) DO UPDATE SET toml_url = excluded.toml_url
