SELECT ticker_make_candles($1)
