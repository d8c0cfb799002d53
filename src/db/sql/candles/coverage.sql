SELECT from_time, to_time FROM candle_coverage
