-- True if a market of an asset has candles, or had some that are dropped by now, unless it is forgotten
-- (forget_markets.sql).
SELECT EXISTS (SELECT FROM candle_markets WHERE base = $1) OR EXISTS (SELECT FROM candle_markets WHERE counter = $1)
