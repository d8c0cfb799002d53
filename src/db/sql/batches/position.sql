SELECT l.seq, b.committed_at
FROM ingest_lease l LEFT JOIN ingest_batches b ON b.seq = l.seq
WHERE l.name = 'ingest'
