-- Assets that Horizon had a record of at their last look-up. Valid ones first, and the last looked up of them.
SELECT code, issuer FROM assets
WHERE issuer <> 'native' AND checked_at IS NOT NULL AND num_accounts > 0
ORDER BY is_valid DESC, checked_at DESC, id
LIMIT $1
