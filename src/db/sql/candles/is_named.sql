-- True if a market has candles, or had some that are dropped by now.
SELECT EXISTS (SELECT FROM candle_markets WHERE base = $1 AND counter = $2)
