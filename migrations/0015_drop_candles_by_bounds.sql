-- The bounds of a partition say which candles it has. A table that is attached under the name of an old day or month,
-- with other bounds, stays.
DO $migration$
BEGIN
    EXECUTE format($sql$
        CREATE OR REPLACE FUNCTION ticker_drop_candles(minutes_before date, before date) RETURNS bigint
        LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = %1$I, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $body$
        DECLARE
            part record;
            first timestamp;
            past timestamp;
            dropped bigint := 0;
        BEGIN
            FOR part IN
                SELECT c.relname AS name, p.relname AS parent, p.relname = 'candles_1m' AS is_day,
                       pg_get_expr(c.relpartbound, c.oid) AS bounds
                FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
                WHERE i.inhparent IN ('candles_1m'::regclass, 'candles_1h'::regclass, 'candles_1d'::regclass)
                  AND c.relnamespace = p.relnamespace
                ORDER BY c.relname
            LOOP
                first := substring(part.bounds FROM 'FROM \(''([^'']+)''\)')::timestamp;
                past := substring(part.bounds FROM 'TO \(''([^'']+)''\)')::timestamp;
                -- Only what ticker_make_candles made: a day or a month, with the name of its first day.
                CONTINUE WHEN first IS NULL;
                CONTINUE WHEN past IS DISTINCT FROM
                    first + CASE WHEN part.is_day THEN interval '1 day' ELSE interval '1 month' END;
                CONTINUE WHEN part.name::text IS DISTINCT FROM
                    part.parent || '_p' || to_char(first, CASE WHEN part.is_day THEN 'YYYYMMDD' ELSE 'YYYYMM' END);
                CONTINUE WHEN past > CASE WHEN part.is_day THEN minutes_before ELSE before END;
                EXECUTE format('DROP TABLE %%I', part.name);
                dropped := dropped + 1;
            END LOOP;
            RETURN dropped;
        END
        $body$;
    $sql$, current_schema());
END
$migration$;
REVOKE ALL ON FUNCTION ticker_drop_candles(date, date) FROM PUBLIC;
