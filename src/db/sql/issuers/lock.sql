-- The issuers that the files $1 may describe, in the order of link.sql. Both lock issuers first, and then assets in the
-- order of assets/lock.sql, which prevents deadlocks.
SELECT i.public_key FROM issuers i
WHERE i.public_key IN (SELECT a.issuer FROM assets a WHERE a.toml_url = ANY ($1::text[]) AND a.meets_rules)
ORDER BY i.public_key
FOR NO KEY UPDATE OF i
