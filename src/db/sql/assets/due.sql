-- Assets that were never looked up, or that existed before the last whole sweep and were not in it. The highest ranked
-- first.
SELECT a.code, a.issuer, count(*) OVER (), count(ranked.place) OVER ()
FROM assets a
LEFT JOIN unnest($1::int[]) WITH ORDINALITY AS ranked (id, place) ON ranked.id = a.id
LEFT JOIN asset_sweep s ON true
WHERE a.issuer <> 'native' AND (a.checked_at IS NULL OR a.checked_at < s.swept_from)
ORDER BY ranked.place NULLS LAST, a.checked_at NULLS FIRST, a.id
LIMIT $2
