-- The lease's row, where somebody deleted it. Numbers go on behind the last batch that is kept, and taking the lease gives it an
-- epoch from the clock, later than all before, so that no writer of an earlier epoch gets through.
INSERT INTO ingest_lease (name, holder, epoch, seq, expires_at)
SELECT 'ingest', '', 0, coalesce(max(seq), 0), '-infinity' FROM ingest_batches
HAVING NOT EXISTS (SELECT 1 FROM ingest_lease WHERE name = 'ingest')
ON CONFLICT (name) DO NOTHING
