-- A file that was fetched in the future is due: a clock was ahead then. Clocks of replicas may differ a little. A good
-- file that was not read for one of its assets is due at once. It comes before files that nobody has read, because the
-- asset waits for nothing else, and half of the unknown hosts never answer.
-- Of each host only the first few: anyone may link to any number of files of one host, which would fill each round. Of
-- all names below one domain somewhat more: anyone may give a domain any number of names.
WITH due AS (
    SELECT a.toml_url AS url, coalesce(min(f.failures), 0) AS failures, min(ranked.place) AS place,
           coalesce(bool_or(f.is_good AND a.toml_applied_at IS NULL), false) AS is_unread,
           min(f.next_check_at) AS next_check_at,
           coalesce(lower(substring(a.toml_url FROM '(?i)^(?:\s*https?://)+\s*([^/?#]*)')), a.toml_url) AS host
    FROM assets a
    LEFT JOIN toml_files f ON f.url = a.toml_url
    LEFT JOIN unnest($1::int[]) WITH ORDINALITY AS ranked (id, place) ON ranked.id = a.id
    WHERE a.meets_rules AND a.toml_url <> ''
      AND (f.url IS NULL OR f.next_check_at <= $2 OR f.checked_at > $2 + interval '1 hour'
           OR f.is_good AND a.toml_applied_at IS NULL)
    GROUP BY a.toml_url
), counted AS (
    SELECT *,
           row_number() OVER (PARTITION BY host ORDER BY place NULLS LAST, is_unread DESC, next_check_at NULLS FIRST, url)
               AS of_host,
           row_number() OVER (PARTITION BY coalesce(substring(host FROM '([^.]+\.[^.]+)$'), host)
                              ORDER BY place NULLS LAST, is_unread DESC, next_check_at NULLS FIRST, url) AS of_domain
    FROM due
)
SELECT url, failures FROM counted WHERE of_host <= $4 AND of_domain <= $5
ORDER BY place NULLS LAST, is_unread DESC, next_check_at NULLS FIRST, url
LIMIT $3
