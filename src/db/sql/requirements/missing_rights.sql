-- The rights that a writer needs and this role lacks, one row per table. No rows on a standby.
WITH needed (name, rights) AS (VALUES
    ('trades', 'SELECT, INSERT'),
    ('assets', 'SELECT, INSERT, UPDATE, DELETE'),
    ('issuers', 'SELECT, INSERT, UPDATE, DELETE'),
    ('markets', 'SELECT, INSERT, DELETE'),
    ('orderbook_stats', 'SELECT, INSERT, UPDATE, DELETE'),
    ('orderbook_levels', 'SELECT, INSERT, UPDATE'),
    ('toml_files', 'SELECT, INSERT, UPDATE, DELETE'),
    ('asset_sweep', 'SELECT, INSERT, UPDATE'),
    ('coverage', 'SELECT, INSERT, UPDATE, DELETE'),
    ('quarantine', 'SELECT, INSERT, DELETE'),
    ('ingest_cursor', 'SELECT, INSERT, UPDATE'),
    ('ingest_lease', 'SELECT, INSERT, UPDATE'),
    ('ingest_batches', 'SELECT, INSERT, DELETE'),
    ('network', 'SELECT, INSERT'),
    ('symbol_choices', 'SELECT, INSERT, UPDATE, DELETE'),
    ('market_accounts', 'SELECT, INSERT, DELETE'),
    ('candle_markets', 'SELECT, INSERT, DELETE'),
    ('candles_1m', 'SELECT, INSERT, DELETE'),
    ('candles_1h', 'SELECT, INSERT, DELETE'),
    ('candles_1d', 'SELECT, INSERT, DELETE'),
    ('candle_progress', 'SELECT, UPDATE'),
    ('candle_coverage', 'SELECT, INSERT, DELETE'),
    ('unproven_ledgers', 'SELECT, INSERT, UPDATE, DELETE'),
    ('unconfirmed_ranges', 'SELECT, INSERT, UPDATE, DELETE')
), lacking AS (
    SELECT name, right_wanted AS what
    FROM needed, unnest(string_to_array(rights, ', ')) AS right_wanted
    WHERE NOT coalesce(has_table_privilege(to_regclass(name), right_wanted), false)
    UNION ALL
    SELECT name, 'USAGE' FROM unnest(ARRAY['asset_version', 'book_version']) AS name
    WHERE NOT coalesce(has_sequence_privilege(to_regclass(name), 'USAGE'), false)
    UNION ALL
    SELECT name, 'EXECUTE' FROM unnest(ARRAY[
        'ticker_make_day(date)', 'ticker_drop_day(date)', 'ticker_make_candles(date)', 'ticker_drop_candles(date, date)']) AS name
    WHERE NOT coalesce(has_function_privilege(to_regprocedure(name), 'EXECUTE'), false)
)
SELECT string_agg(what, ', ') || ' on ' || name FROM lacking WHERE NOT pg_is_in_recovery() GROUP BY name ORDER BY name
