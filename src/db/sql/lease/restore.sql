-- Restores the row of the lease if somebody deleted it. `seq` continues after the last stored batch. The next take sets
-- an epoch from the clock, which is later than all before, so that writers of earlier epochs stay fenced.
INSERT INTO ingest_lease (name, holder, epoch, seq, expires_at)
SELECT 'ingest', '', 0, coalesce(max(seq), 0), '-infinity' FROM ingest_batches
HAVING NOT EXISTS (SELECT 1 FROM ingest_lease WHERE name = 'ingest')
ON CONFLICT (name) DO NOTHING
