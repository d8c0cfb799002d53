-- True if all these batches exist. A number that was assigned again after a loss has another time.
SELECT NOT EXISTS (
    SELECT 1 FROM unnest($1, $2) AS known (seq, committed_at)
    WHERE NOT EXISTS (
        SELECT 1 FROM ingest_batches b WHERE b.seq = known.seq AND b.committed_at = known.committed_at))
