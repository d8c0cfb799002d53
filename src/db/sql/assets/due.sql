-- Assets that were never looked up, or that existed before the last whole sweep and were not in it. The highest ranked
-- first. Those that are not ranked are searched among the first $3 in the order of the index; see count_due.sql,
-- also for $4.
WITH ranked AS (
    SELECT id, place FROM unnest($1::int[]) WITH ORDINALITY AS ranked (id, place)
), candidates AS (
    SELECT a.id, a.code, a.issuer, a.checked_at, ranked.place
    FROM ranked JOIN assets a USING (id)
    WHERE a.issuer <> 'native'
    UNION ALL
    SELECT first.id, first.code, first.issuer, first.checked_at, NULL
    FROM (SELECT a.id, a.code, a.issuer, a.checked_at FROM assets a WHERE a.issuer <> 'native'
          ORDER BY a.checked_at NULLS FIRST LIMIT $3) first
    WHERE NOT EXISTS (SELECT FROM ranked WHERE ranked.id = first.id)
)
SELECT code, issuer, count(*) OVER (), count(place) OVER ()
FROM candidates
WHERE checked_at IS NULL OR checked_at < (SELECT s.swept_from FROM asset_sweep s WHERE s.swept_from <= $4)
ORDER BY place NULLS LAST, checked_at NULLS FIRST, id
LIMIT $2
