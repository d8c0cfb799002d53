-- True if a market has candles, or had some that are dropped by now, unless it is forgotten (forget_markets.sql).
SELECT EXISTS (SELECT FROM candle_markets WHERE base = $1 AND counter = $2)
