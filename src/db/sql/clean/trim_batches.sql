-- The newest stay whatever their age: a reader that is only a little behind goes on from them.
DELETE FROM ingest_batches WHERE seq IN (
    SELECT seq FROM ingest_batches
    WHERE committed_at < $1 AND seq <= (SELECT seq FROM ingest_lease WHERE name = 'ingest') - $2
    ORDER BY seq LIMIT $3
)
