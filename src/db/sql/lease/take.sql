-- The epoch is never given out twice, also not by a standby that lost the last take-over: it grows with the clock.
UPDATE ingest_lease
SET holder = $1,
    epoch = greatest(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
    expires_at = now() + make_interval(secs => $2)
WHERE name = 'ingest' AND expires_at < now()
RETURNING epoch
