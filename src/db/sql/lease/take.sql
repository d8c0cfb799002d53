UPDATE ingest_lease SET holder = $1, epoch = epoch + 1, expires_at = now() + make_interval(secs => $2)
WHERE name = 'ingest' AND expires_at < now()
RETURNING epoch
