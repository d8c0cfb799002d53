INSERT INTO toml_files (url, is_good, good_at, failures, problem, checked_at, next_check_at)
VALUES ($1, $2, CASE WHEN $2 THEN $4 END, CASE WHEN $2 THEN 0 ELSE 1 END, $3, $4, $5)
ON CONFLICT (url) DO UPDATE SET
    is_good = excluded.is_good,
    good_at = coalesce(excluded.good_at, toml_files.good_at),
    failures = CASE WHEN excluded.is_good THEN 0 ELSE toml_files.failures + 1 END,
    problem = excluded.problem, checked_at = excluded.checked_at, next_check_at = excluded.next_check_at
