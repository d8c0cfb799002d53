-- Volumes of some markets by the start of the candle and the kind of the market: of the asset that is base or counter, of
-- that with pools, and of the side that leads to the dollar, which is base or counter as well.
SELECT c.begins_at, m.kind, sum(c.trade_count)::bigint,
       sum(CASE WHEN m.is_counter THEN c.counter_volume ELSE c.base_volume END),
       sum(CASE WHEN m.is_counter THEN c.pool_counter_volume ELSE c.pool_base_volume END),
       sum(CASE WHEN m.valued_is_counter THEN c.counter_volume ELSE c.base_volume END)
FROM unnest($1::int[], $2::int[], $3::boolean[], $4::boolean[]) AS m (id, kind, is_counter, valued_is_counter)
JOIN :candles c ON c.market_id = m.id
WHERE c.begins_at >= $5 AND c.begins_at < $6
GROUP BY c.begins_at, m.kind
ORDER BY c.begins_at, m.kind
