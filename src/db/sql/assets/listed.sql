-- Assets that Horizon had a record of at their last look-up. The last looked up first: they are the least likely to be
-- among those in question. NULLS LAST is the order of the index, read backwards.
SELECT code, issuer FROM assets
WHERE issuer <> 'native' AND checked_at IS NOT NULL AND num_accounts > 0
ORDER BY checked_at DESC NULLS LAST, id
LIMIT $1
