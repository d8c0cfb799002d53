-- Trades of (since, until] by market: number of takers and makers, and the share of the base volume and of the counter
-- volume that the busiest pair of accounts made with each other. A pool is a maker, but no account of a pair.
WITH pairs AS MATERIALIZED (
    SELECT market_id,
           CASE WHEN base_is_seller THEN base_account ELSE counter_account END AS maker,
           CASE WHEN base_is_seller THEN counter_account ELSE base_account END AS taker,
           liquidity_pool_id AS pool,
           sum(base_amount::numeric) AS base,
           sum(counter_amount::numeric) AS counter
    FROM trades
    WHERE ledger_close_time > $1 AND ledger_close_time <= $2
    GROUP BY 1, 2, 3, 4
), totals AS (
    SELECT market_id,
           count(DISTINCT taker) AS takers,
           count(DISTINCT coalesce(pool, maker)) AS makers,
           sum(base) AS base,
           sum(counter) AS counter
    FROM pairs
    GROUP BY 1
), largest AS (
    SELECT market_id, max(base) AS base, max(counter) AS counter
    FROM (SELECT market_id, sum(base) AS base, sum(counter) AS counter
          FROM pairs
          WHERE pool IS NULL
          GROUP BY market_id, least(maker, taker), greatest(maker, taker)) AS unordered
    GROUP BY 1
)
SELECT market_id, takers::int, makers::int,
       coalesce(round(10000 * largest.base / nullif(totals.base, 0)), 0)::smallint,
       coalesce(round(10000 * largest.counter / nullif(totals.counter, 0)), 0)::smallint
FROM totals LEFT JOIN largest USING (market_id)
