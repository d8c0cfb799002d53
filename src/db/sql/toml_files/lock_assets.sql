-- The assets of the files $1 and all others of their issuers, in the order of assets/lock.sql: issuers/describe.sql
-- changes assets of an issuer that link to another file as well.
SELECT a.id FROM assets a
WHERE a.issuer IN (SELECT f.issuer FROM assets f WHERE f.toml_url = ANY ($1::text[]) AND f.meets_rules)
ORDER BY a.id
FOR NO KEY UPDATE OF a
