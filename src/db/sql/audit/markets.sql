-- Every market of valid assets, from the raw trades that closed after $1, without those in the ranges $4 to $7, none of
-- which begins before $3. A market has up to two rows: one for the trades after $2 and one for the earlier ones. Sums
-- are exact (numeric). First and last are the least and the greatest array, since an array sorts by its first element.
-- Forty decimal places distinguish any two ratios of 64-bit numbers.
WITH raw AS (
    SELECT base_asset_id, counter_asset_id, ledger_close_time > $2 AS is_recent,
           count(*) AS trade_count, sum(base_amount) AS base_volume, sum(counter_amount) AS counter_volume,
           min(ARRAY[toid, trade_order, price_d, price_n]) FILTER (WHERE price_n > 0 AND price_d > 0) AS open,
           max(ARRAY[toid, trade_order, price_d, price_n]) FILTER (WHERE price_n > 0 AND price_d > 0) AS close,
           min(ARRAY[price_d::numeric(60, 40) / nullif(price_n, 0), price_d, price_n])
               FILTER (WHERE price_n > 0 AND price_d > 0) AS low,
           max(ARRAY[price_d::numeric(60, 40) / nullif(price_n, 0), price_d, price_n])
               FILTER (WHERE price_n > 0 AND price_d > 0) AS high,
           min(ledger_close_time) AS first_time, max(ledger_close_time) AS last_time
    FROM trades t
    WHERE ledger_close_time > $1
      AND (toid < $3 OR NOT EXISTS (
          SELECT 1 FROM unnest($4::bigint[], $5::int[], $6::bigint[], $7::int[]) AS later (toid, trade_order, to_toid, to_order)
          WHERE (t.toid, t.trade_order) >= (later.toid, later.trade_order)
            AND (t.toid, t.trade_order) <= (later.to_toid, later.to_order)))
    GROUP BY base_asset_id, counter_asset_id, is_recent
)
SELECT base_asset_id, counter_asset_id, is_recent, trade_count, base_volume::text, counter_volume::text,
       open, low[2]::bigint, low[3]::bigint, high[2]::bigint, high[3]::bigint, close, first_time, last_time,
       b.code, b.issuer, coalesce(nullif(b.anchor_asset_code, ''), b.code),
       c.code, c.issuer, coalesce(nullif(c.anchor_asset_code, ''), c.code),
       o.bid_count::bigint, o.bid_volume, o.bid_max, o.ask_count::bigint, o.ask_volume, o.ask_min
FROM raw
JOIN assets b ON b.id = base_asset_id AND b.is_valid
JOIN assets c ON c.id = counter_asset_id AND c.is_valid
LEFT JOIN markets m USING (base_asset_id, counter_asset_id)
LEFT JOIN orderbook_stats o ON o.market_id = m.id
