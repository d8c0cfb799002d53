COPY :candles (
    market_id, begins_at, trade_count, base_volume, counter_volume, first_trade_at, last_trade_at,
    open_toid, open_order, open_n, open_d, high_n, high_d, low_n, low_d, close_toid, close_order, close_n, close_d,
    bought_base_volume, bought_counter_volume, pool_base_volume, pool_counter_volume,
    clean_count, clean_base_volume, clean_counter_volume,
    clean_open_toid, clean_open_order, clean_open_n, clean_open_d, clean_high_n, clean_high_d,
    clean_low_n, clean_low_d, clean_close_toid, clean_close_order, clean_close_n, clean_close_d
) FROM STDIN BINARY
