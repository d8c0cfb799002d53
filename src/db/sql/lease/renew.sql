-- $3: the holder cannot read new trades. The mark is part of its name, so that versions without it replace it too.
UPDATE ingest_lease
SET expires_at = now() + make_interval(secs => $2),
    holder = split_part(holder, '+', 1) || CASE WHEN $3 THEN '+blind' ELSE '' END
WHERE name = 'ingest' AND epoch = $1
