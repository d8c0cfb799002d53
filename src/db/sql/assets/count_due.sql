-- The number of assets that were never looked up, or that existed before the last whole sweep and were not in it, counted
-- up to $1. A sweep that began later than now ($2) does not count: a clock was ahead then, and assets that are looked up
-- now would be due again at once. These are the first ones in the order of the index, which therefore ends the search. With a plain condition
-- the planner may scan all assets, and this runs every few seconds.
SELECT count(*)
FROM (SELECT a.checked_at FROM assets a WHERE a.issuer <> 'native' ORDER BY a.checked_at NULLS FIRST LIMIT $1) first
WHERE first.checked_at IS NULL OR first.checked_at < (SELECT s.swept_from FROM asset_sweep s WHERE s.swept_from <= $2)
