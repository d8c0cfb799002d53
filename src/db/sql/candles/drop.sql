SELECT ticker_drop_candles($1, $2)
