-- The assets of the files $1, in the order of assets/lock.sql. An asset of one of their issuers may link to another
-- file for a moment. It is not among them: a search by issuer would read all assets.
SELECT a.id FROM assets a WHERE a.toml_url = ANY ($1::text[]) AND a.meets_rules
ORDER BY a.id
FOR NO KEY UPDATE OF a
