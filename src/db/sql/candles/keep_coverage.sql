-- Times of complete ledgers before the oldest trade that is left. $1 and $2 are the merged ranges of the coverage.
INSERT INTO candle_coverage (from_time, to_time)
SELECT held.from_time, least(held.to_time, oldest.at)
FROM unnest($1::timestamptz[], $2::timestamptz[]) AS held (from_time, to_time),
     (SELECT coalesce((SELECT ledger_close_time FROM trades ORDER BY toid LIMIT 1), 'infinity') AS at) oldest
WHERE held.from_time < oldest.at
ON CONFLICT (from_time) DO UPDATE SET to_time = greatest(candle_coverage.to_time, excluded.to_time)
