-- Of the next $2 names after $1, deletes those of markets that have no daily candle and are not in "markets". Returns
-- the last of the $2 names, or NULL after all, and the number of deleted ones. The candles of an hour are dropped with
-- those of its day.
WITH part AS MATERIALIZED (
    SELECT id, CASE base WHEN 'native' THEN 'XLM' ELSE split_part(base, ':', 1) END AS base_code,
           CASE base WHEN 'native' THEN base ELSE split_part(base, ':', 2) END AS base_issuer,
           CASE counter WHEN 'native' THEN 'XLM' ELSE split_part(counter, ':', 1) END AS counter_code,
           CASE counter WHEN 'native' THEN counter ELSE split_part(counter, ':', 2) END AS counter_issuer
    FROM candle_markets WHERE id > $1 ORDER BY id LIMIT $2
), forgotten AS (
    DELETE FROM candle_markets k USING part p
    WHERE k.id = p.id
      AND NOT EXISTS (SELECT FROM candles_1d d WHERE d.market_id = p.id)
      AND NOT EXISTS (
          SELECT FROM assets b JOIN markets m ON m.base_asset_id = b.id JOIN assets c ON c.id = m.counter_asset_id
          WHERE b.code = p.base_code AND b.issuer = p.base_issuer
            AND c.code = p.counter_code AND c.issuer = p.counter_issuer)
    RETURNING k.id
)
SELECT (SELECT max(id) FROM part), (SELECT count(*) FROM forgotten)
