-- Trades of (since, until] by market: number of takers and makers, and the share of the volume that the busiest pair of
-- accounts made with each other. A pool is a maker, but no account of a pair.
WITH pairs AS MATERIALIZED (
    SELECT market_id,
           CASE WHEN base_is_seller THEN base_account ELSE counter_account END AS maker,
           CASE WHEN base_is_seller THEN counter_account ELSE base_account END AS taker,
           liquidity_pool_id AS pool,
           sum(base_amount::numeric) AS volume
    FROM trades
    WHERE ledger_close_time > $1 AND ledger_close_time <= $2
    GROUP BY 1, 2, 3, 4
), totals AS (
    SELECT market_id,
           count(DISTINCT taker) AS takers,
           count(DISTINCT coalesce(pool, maker)) AS makers,
           sum(volume) AS volume
    FROM pairs
    GROUP BY 1
), largest AS (
    SELECT market_id, max(volume) AS volume
    FROM (SELECT market_id, sum(volume) AS volume
          FROM pairs
          WHERE pool IS NULL
          GROUP BY market_id, least(maker, taker), greatest(maker, taker)) AS unordered
    GROUP BY 1
)
SELECT market_id, takers::int, makers::int,
       coalesce(floor(10000 * largest.volume / nullif(totals.volume, 0)), 0)::smallint
FROM totals LEFT JOIN largest USING (market_id)
