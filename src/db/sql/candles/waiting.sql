-- Times of the first and the last trade that candles may lack. NULL if they have all trades. Trades between two waiting
-- ones may be in candles already.
WITH waiting AS (
    SELECT rest_toid AS first, rest_to_toid AS last FROM candle_progress WHERE rest_toid IS NOT NULL
    UNION ALL
    SELECT split_part(b.from_token, '-', 1)::bigint, split_part(b.to_token, '-', 1)::bigint
    FROM candle_progress p JOIN ingest_batches b ON b.seq > p.seq
    WHERE b.kind IN ('live', 'backfill', 'repair') AND b.from_token IS NOT NULL
    UNION ALL
    -- Nothing was derived yet, or the next batch is gone. Then all trades wait.
    SELECT 0, 9223372036854775807
    FROM candle_progress p JOIN ingest_lease l ON l.name = 'ingest'
    WHERE p.seq IS NULL
       OR l.seq <> p.seq AND NOT EXISTS (SELECT FROM ingest_batches b WHERE b.seq = p.seq + 1)
), ends AS (
    SELECT min(first) AS first, max(last) AS last FROM waiting
)
SELECT (SELECT ledger_close_time FROM trades WHERE toid >= ends.first ORDER BY toid LIMIT 1),
       (SELECT ledger_close_time FROM trades WHERE toid <= ends.last ORDER BY toid DESC LIMIT 1)
FROM ends
