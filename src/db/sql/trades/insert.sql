COPY trades (toid, trade_order, ledger_close_time, market_id, base_asset_id, counter_asset_id, base_amount,
             counter_amount, price_n, price_d, base_is_seller, base_account, counter_account, liquidity_pool_id)
FROM STDIN BINARY
