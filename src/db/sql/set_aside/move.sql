-- Moves tables and sequences by name, so that other objects in the same schema stay. Indexes and the sequences of
-- identity columns move with their tables. Partitions are tables of their own.
DO $set_aside$
DECLARE
    part record;
    reader text;
    ours CONSTANT text[] := ARRAY[
        'trades', 'assets', 'issuers', 'markets', 'orderbook_stats', 'orderbook_levels', 'ingest_cursor', 'ingest_lease',
        'ingest_batches', 'coverage', 'quarantine', 'network', 'symbol_choices', 'market_accounts', 'candle_markets', 'candles_1m', 'candles_1h',
        'candles_1d', 'candle_progress', 'candle_coverage', 'unproven_ledgers', 'unconfirmed_ranges', 'toml_files', 'asset_sweep',
        'schema_needs', 'refinery_schema_history',
        'asset_version', 'book_version'];
BEGIN
    CREATE SCHEMA :schema;
    -- The rights on the tables move with them, and are of no use without this one. pg_dump needs it to lock them.
    FOR reader IN
        SELECT CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE granted.grantee::regrole::text END
        FROM pg_namespace n, aclexplode(n.nspacl) AS granted
        WHERE n.oid = (SELECT relnamespace FROM pg_class WHERE oid = 'trades'::regclass) AND granted.privilege_type = 'USAGE'
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA :schema TO %s', reader);
    END LOOP;
    FOR part IN
        SELECT c.oid::regclass AS what, c.relkind = 'S' AS is_sequence
        FROM pg_class c
        WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'trades'::regclass)
          AND (c.relname = ANY (ours) AND c.relkind IN ('r', 'p', 'S')
               OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = ANY (ARRAY[
                   to_regclass('trades'), to_regclass('candles_1m'), to_regclass('candles_1h'), to_regclass('candles_1d')])))
    LOOP
        IF part.is_sequence THEN
            EXECUTE format('ALTER SEQUENCE %s SET SCHEMA :schema', part.what);
        ELSE
            EXECUTE format('ALTER TABLE %s SET SCHEMA :schema', part.what);
        END IF;
    END LOOP;
    DROP FUNCTION IF EXISTS ticker_make_day(date), ticker_drop_day(date), ticker_make_candles(date),
        ticker_drop_candles(date, date);
END
$set_aside$
