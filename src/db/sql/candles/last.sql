-- Candles of a market that begin from one time on and before another, from the newest back to the one with which $5 are
-- reached. With $6, only those with a price count, but the others between them are read too.
-- No subquery depends on a row, so each runs once, whatever the planner believes.
SELECT c.*
FROM :candles c
WHERE c.market_id = (SELECT id FROM candle_markets WHERE base = $1 AND counter = $2)
  AND c.begins_at >= $3 AND c.begins_at < $4
  AND c.begins_at >= coalesce(
      (SELECT k.begins_at FROM :candles k
       WHERE k.market_id = (SELECT id FROM candle_markets WHERE base = $1 AND counter = $2)
         AND k.begins_at >= $3 AND k.begins_at < $4 AND (NOT $6 OR k.open_n IS NOT NULL)
       ORDER BY k.begins_at DESC OFFSET $5 - 1 LIMIT 1), '-infinity')
ORDER BY c.begins_at DESC
