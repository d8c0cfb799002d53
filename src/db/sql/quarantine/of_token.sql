SELECT seen_at, source, reason FROM quarantine WHERE token = $1 ORDER BY id LIMIT $2
