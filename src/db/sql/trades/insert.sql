INSERT INTO trades (toid, trade_order, ledger_close_time, market_id, base_asset_id, counter_asset_id, base_amount,
                    counter_amount, price_n, price_d, base_is_seller, base_account, counter_account, liquidity_pool_id)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::timestamptz[], $4::int[], $5::int[], $6::int[], $7::bigint[],
                     $8::bigint[], $9::bigint[], $10::bigint[], $11::bool[], $12::text[], $13::text[], $14::text[])
