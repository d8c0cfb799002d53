-- Every pair from the raw trades: those that closed after $1, of which the day's after $2, less those of the ranges
-- $4 to $7, none of which begins before $3. Sums are exact (numeric); a first or last is the least or greatest of
-- arrays that begin with what they are ordered by. A price to 40 places tells any two ratios of 64 bits apart.
WITH raw AS (
    SELECT base_asset_id, counter_asset_id, ledger_close_time > $2 AS is_day,
           count(*) AS trade_count, sum(base_amount) AS base_volume, sum(counter_amount) AS counter_volume,
           min(ARRAY[toid, trade_order, price_d, price_n]) FILTER (WHERE price_n > 0 AND price_d > 0) AS open,
           max(ARRAY[toid, trade_order, price_d, price_n]) FILTER (WHERE price_n > 0 AND price_d > 0) AS close,
           min(ARRAY[price_d::numeric(60, 40) / nullif(price_n, 0), price_d, price_n])
               FILTER (WHERE price_n > 0 AND price_d > 0) AS low,
           max(ARRAY[price_d::numeric(60, 40) / nullif(price_n, 0), price_d, price_n])
               FILTER (WHERE price_n > 0 AND price_d > 0) AS high,
           max(ledger_close_time) AS close_time
    FROM trades t
    WHERE ledger_close_time > $1
      AND (toid < $3 OR NOT EXISTS (
          SELECT 1 FROM unnest($4::bigint[], $5::int[], $6::bigint[], $7::int[]) AS later (toid, trade_order, to_toid, to_order)
          WHERE (t.toid, t.trade_order) >= (later.toid, later.trade_order)
            AND (t.toid, t.trade_order) <= (later.to_toid, later.to_order)))
    GROUP BY base_asset_id, counter_asset_id, is_day
), valid AS (
    SELECT raw.*,
           coalesce(nullif(b.anchor_asset_code, ''), b.code) || '_' || coalesce(nullif(c.anchor_asset_code, ''), c.code) AS pair,
           b.code || '_' || c.code AS spelt
    FROM raw
    JOIN assets b ON b.id = raw.base_asset_id AND b.is_valid
    JOIN assets c ON c.id = raw.counter_asset_id AND c.is_valid
), books AS (
    -- The books of a name are those of the markets whose codes spell it, whatever they are anchored to.
    SELECT spelt, sum(bid_count)::bigint AS bid_count, sum(bid_volume) AS bid_volume, max(bid_max) AS bid_max,
           sum(ask_count)::bigint AS ask_count, sum(ask_volume) AS ask_volume, min(ask_min) AS ask_min
    FROM (SELECT DISTINCT base_asset_id, counter_asset_id, spelt FROM valid) traded
    JOIN markets m USING (base_asset_id, counter_asset_id)
    JOIN orderbook_stats o ON o.market_id = m.id
    GROUP BY spelt
), pairs AS (
    SELECT pair, sum(trade_count)::bigint AS week_count, sum(base_volume)::text AS week_base, sum(counter_volume)::text AS week_counter,
           min(open) AS week_open, min(low) AS week_low, max(high) AS week_high, max(close) AS week_close,
           coalesce(sum(trade_count) FILTER (WHERE is_day), 0)::bigint AS day_count,
           coalesce(sum(base_volume) FILTER (WHERE is_day), 0)::text AS day_base,
           coalesce(sum(counter_volume) FILTER (WHERE is_day), 0)::text AS day_counter,
           min(open) FILTER (WHERE is_day) AS day_open, min(low) FILTER (WHERE is_day) AS day_low,
           max(high) FILTER (WHERE is_day) AS day_high, max(close) FILTER (WHERE is_day) AS day_close,
           max(close_time) AS close_time
    FROM valid
    GROUP BY pair
)
SELECT pair, close_time,
       day_count, day_base, day_counter, day_open[3], day_open[4], day_low[2]::bigint, day_low[3]::bigint,
       day_high[2]::bigint, day_high[3]::bigint, day_close[3], day_close[4],
       week_count, week_base, week_counter, week_open[3], week_open[4], week_low[2]::bigint, week_low[3]::bigint,
       week_high[2]::bigint, week_high[3]::bigint, week_close[3], week_close[4],
       coalesce(bid_count, 0), coalesce(bid_volume, 0), coalesce(bid_max, 0),
       coalesce(ask_count, 0), coalesce(ask_volume, 0), coalesce(ask_min, 0)
FROM pairs
LEFT JOIN books ON books.spelt = pairs.pair
