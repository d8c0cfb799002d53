-- No epoch is used twice, even by a promoted standby that missed the last take-over, because the epoch follows the
-- clock.
UPDATE ingest_lease
SET holder = $1,
    epoch = greatest(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
    expires_at = now() + make_interval(secs => $2)
WHERE name = 'ingest' AND expires_at < now()
RETURNING epoch
