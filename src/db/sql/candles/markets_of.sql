-- Markets of an asset with candles.
SELECT id, base, counter FROM candle_markets WHERE base = $1
UNION ALL
SELECT id, base, counter FROM candle_markets WHERE counter = $1
