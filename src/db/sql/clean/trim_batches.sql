-- The newest $2 batches stay whatever their age, so that a reader that is a little behind can catch up.
DELETE FROM ingest_batches WHERE seq IN (
    SELECT seq FROM ingest_batches
    WHERE committed_at < $1 AND seq <= (SELECT seq FROM ingest_lease WHERE name = 'ingest') - $2
    ORDER BY seq LIMIT $3
)
