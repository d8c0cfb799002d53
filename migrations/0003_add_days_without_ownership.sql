-- Who writes need not own: days of trades are made and dropped by functions that run as their owner, and nothing else of
-- the schema can be changed through them. Also, what a program must know to work on this schema.

-- Both functions look names up in this schema and nowhere else, whatever the caller's search_path says.
DO $migration$
BEGIN
    EXECUTE format($sql$
        CREATE FUNCTION ticker_make_day(day date) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
        DECLARE
            part text := 'trades_p' || to_char(day, 'YYYYMMDD');
        BEGIN
            IF day IS NULL OR day NOT BETWEEN '2015-01-01' AND '2199-12-31' THEN
                RAISE EXCEPTION 'no day of trades: %%', day;
            END IF;
            -- Attached and not made in place: that would wait for every reader of trades, and all others behind it.
            EXECUTE format('CREATE TABLE %%I (LIKE trades INCLUDING ALL)', part);
            EXECUTE format('ALTER TABLE trades ATTACH PARTITION %%I FOR VALUES FROM (%%L) TO (%%L)', part,
                           to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
        END
        $body$;
        CREATE FUNCTION ticker_drop_day(day date) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
        DECLARE
            part text := 'trades_p' || to_char(day, 'YYYYMMDD');
        BEGIN
            -- Only what is a day of trades; another table of such a name stays.
            IF EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                       WHERE i.inhparent = 'trades'::regclass AND c.relname = part) THEN
                EXECUTE format('DROP TABLE %%I', part);
            END IF;
        END
        $body$;
    $sql$, current_schema());
END
$migration$;
REVOKE ALL ON FUNCTION ticker_make_day(date), ticker_drop_day(date) FROM PUBLIC;

-- The number of the latest migration that a program must know. Only a migration that takes something away raises it, and
-- a program that does not know that one refuses to start; see docs/upgrades.md.
CREATE TABLE schema_needs (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    migration int NOT NULL
);
INSERT INTO schema_needs (migration) VALUES (0);

-- Roles that got rights on every table (deploy/roles.sql) read these two only.
DO $migration$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT DISTINCT c.oid::regclass AS what, rights.grantee::regrole AS who
        FROM pg_class c, aclexplode(c.relacl) rights
        WHERE c.oid IN (to_regclass('refinery_schema_history'), to_regclass('schema_needs'))
          AND rights.grantee NOT IN (c.relowner, 0)
    LOOP
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %s FROM %s', given.what, given.who);
    END LOOP;
END
$migration$;
