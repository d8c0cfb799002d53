-- Never asked for first, then those that were asked for longest ago.
SELECT id, code, issuer FROM assets
WHERE checked_at IS NULL OR checked_at < $1
ORDER BY checked_at NULLS FIRST, id
LIMIT $2
