-- No epoch is used twice, even by a promoted standby that missed the last take-over, because the epoch follows the
-- clock.
--
-- No holder sets an end as late as the second condition wants. Such a lease was written while the server's clock was
-- ahead, and its holder may be dead. If it lives, the new epoch fences it.
--
-- A holder with the mark of renew.sql cannot read new trades. A replica that can ($4) takes the lease from it.
UPDATE ingest_lease
SET holder = $1,
    epoch = greatest(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
    expires_at = now() + make_interval(secs => $2)
WHERE name = 'ingest'
  AND (expires_at < now() OR expires_at > now() + make_interval(secs => greatest(10 * $2, 60))
       OR $4 AND holder LIKE '%+blind')
  AND ($3::text IS NULL OR EXISTS (SELECT FROM network WHERE passphrase = $3))
RETURNING epoch
