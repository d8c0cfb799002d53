-- Each number with its own time; one that was given out again has another.
SELECT NOT EXISTS (
    SELECT 1 FROM unnest($1, $2) AS known (seq, committed_at)
    WHERE NOT EXISTS (
        SELECT 1 FROM ingest_batches b WHERE b.seq = known.seq AND b.committed_at = known.committed_at))
