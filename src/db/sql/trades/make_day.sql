SELECT ticker_make_day($1)
