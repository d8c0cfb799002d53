-- In the order of the primary key's indexes, because appending to windows is cheaper than inserting.
-- Binary COPY sends no names: `trades/columns.rs` reads the columns in this order.
COPY (
    SELECT market_id, toid, trade_order, ledger_close_time, base_amount, counter_amount, price_n, price_d,
           base_is_seller, liquidity_pool_id IS NOT NULL AS is_pool
    FROM trades WHERE ledger_close_time > to_timestamp(:edge)
    ORDER BY toid, trade_order
) TO STDOUT BINARY
