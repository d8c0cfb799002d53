SELECT ticker_drop_day($1)
