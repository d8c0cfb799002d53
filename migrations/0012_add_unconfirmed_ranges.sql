-- The unconfirmed ledgers: stored ledgers of a lake to which no hash of Horizon leads. Rows may touch or overlap. Earlier
-- versions wrote only the lowest of them, into "unproven_ledgers".
CREATE TABLE unconfirmed_ranges (
    from_ledger bigint PRIMARY KEY,
    to_ledger   bigint NOT NULL,
    from_time   timestamptz NOT NULL,
    to_time     timestamptz NOT NULL,
    CHECK (from_ledger <= to_ledger)
);

-- Only what ticker_make_candles made is dropped. Another table that is attached as a partition stays, whatever its name.
DO $migration$
BEGIN
    EXECUTE format($sql$
        CREATE OR REPLACE FUNCTION ticker_drop_candles(minutes_before date, before date) RETURNS bigint
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
        DECLARE
            part record;
            month date;
            first date;
            dropped bigint := 0;
        BEGIN
            FOR part IN
                SELECT c.relname AS name, p.relname = 'candles_1m' AS is_day,
                       substring(c.relname FROM length(p.relname) + 3) AS digits
                FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
                WHERE i.inhparent IN ('candles_1m'::regclass, 'candles_1h'::regclass, 'candles_1d'::regclass)
                  AND c.relnamespace = p.relnamespace
                  AND c.relname ~ ('^' || p.relname || '_p2[01][0-9]{2}(0[1-9]|1[0-2])'
                                   || CASE WHEN p.relname = 'candles_1m' THEN '[0-3][0-9]' ELSE '' END || '$')
                ORDER BY c.relname
            LOOP
                month := make_date(left(part.digits, 4)::int, substring(part.digits FROM 5 FOR 2)::int, 1);
                IF part.is_day THEN
                    first := month + right(part.digits, 2)::int - 1;
                    CONTINUE WHEN to_char(first, 'YYYYMMDD') <> part.digits; -- no day of this month
                    CONTINUE WHEN first >= minutes_before;
                ELSE
                    CONTINUE WHEN (month + interval '1 month')::date > before;
                END IF;
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
