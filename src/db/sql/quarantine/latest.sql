SELECT seen_at, source, token, reason, raw FROM quarantine ORDER BY id DESC LIMIT $1
