-- A file that was fetched in the future is due: a clock was ahead then. Clocks of replicas may differ a little. A good
-- file that was not read for one of its assets is due at once. It comes before files that nobody has read, because the
-- asset waits for nothing else, and half of the unknown hosts never answer.
SELECT a.toml_url, coalesce(min(f.failures), 0)
FROM assets a
LEFT JOIN toml_files f ON f.url = a.toml_url
LEFT JOIN unnest($1::int[]) WITH ORDINALITY AS ranked (id, place) ON ranked.id = a.id
WHERE a.meets_rules AND a.toml_url <> ''
  AND (f.url IS NULL OR f.next_check_at <= $2 OR f.checked_at > $2 + interval '1 hour'
       OR f.is_good AND a.toml_applied_at IS NULL)
GROUP BY a.toml_url
ORDER BY min(ranked.place) NULLS LAST, coalesce(bool_or(f.is_good AND a.toml_applied_at IS NULL), false) DESC,
         min(f.next_check_at) NULLS FIRST, a.toml_url
LIMIT $3
