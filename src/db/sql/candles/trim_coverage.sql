DELETE FROM candle_coverage WHERE to_time < $1
