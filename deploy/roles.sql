-- Least-privilege roles for the ticker. Run once, as a superuser, in the ticker's database, before the first `migrate`:
--
--     sudo -u postgres createdb --encoding=UTF8 --template=template0 --locale=C ticker
--     sudo -u postgres psql -d ticker < deploy/roles.sql
--     sudo -u postgres psql -d ticker    (then \password ticker_migrate and \password ticker_rw)
--     DATABASE_URL_FILE=/run/secrets/migrate-url stellar-ticker migrate    (postgres://ticker_migrate:…@db/ticker)
--     DATABASE_URL_FILE=/run/secrets/database-url stellar-ticker serve     (postgres://ticker_rw:…@db/ticker)
--
-- ticker_migrate  owns and changes the schema. Only `migrate` uses it (or the daemon, as --database-direct-url: the
--                 daemon then migrates at start).
-- ticker_rw       for the daemon: reads and writes rows. It creates and drops partitions of trades and candles through
--                 functions that run as their owner. It cannot change the schema otherwise.
-- ticker_ro       for people, dashboards and backups (pg_dump): reads, at most 30 s a statement.
--
-- Running this file again changes nothing. If the tables already belong to one role: run this file, then
-- `REASSIGN OWNED BY that_role TO ticker_migrate`, then this file again.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['ticker_migrate', 'ticker_rw', 'ticker_ro'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', name);
        END IF;
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO ticker_migrate, ticker_rw, ticker_ro', current_database());
END
$$;

ALTER ROLE ticker_ro SET default_transaction_read_only = on;
ALTER ROLE ticker_ro SET statement_timeout = '30s';
ALTER ROLE ticker_ro SET idle_in_transaction_session_timeout = '60s';

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO ticker_migrate;
GRANT USAGE ON SCHEMA public TO ticker_rw, ticker_ro;

-- Existing objects.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO ticker_rw, ticker_ro;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ticker_rw;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO ticker_rw, ticker_ro; -- for pg_dump
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO ticker_rw;
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN
        SELECT c.oid FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
          AND c.relname NOT IN ('refinery_schema_history', 'schema_needs')
    LOOP
        EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %s TO ticker_rw', part);
    END LOOP;
    -- The daemon only reads these two. pg_restore creates them with the default privileges below.
    FOR part IN
        SELECT to_regclass('public.' || name) FROM unnest(ARRAY['refinery_schema_history', 'schema_needs']) AS name
        WHERE to_regclass('public.' || name) IS NOT NULL
    LOOP
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %s FROM ticker_rw', part);
    END LOOP;
END
$$;

-- Tables that `start-over` set aside. pg_dump reads them too, and pg_restore restores them without these rights.
DO $$
DECLARE
    aside text;
BEGIN
    FOR aside IN SELECT nspname FROM pg_namespace WHERE nspname ~ '^ticker_[0-9]{8}_[0-9]{6}$' LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO ticker_rw, ticker_ro', aside);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO ticker_rw, ticker_ro', aside);
        EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO ticker_rw, ticker_ro', aside);
    END LOOP;
END
$$;

-- Objects that ticker_migrate, or a function that runs as ticker_migrate, will create.
ALTER DEFAULT PRIVILEGES FOR ROLE ticker_migrate REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE ticker_migrate IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ticker_rw;
ALTER DEFAULT PRIVILEGES FOR ROLE ticker_migrate IN SCHEMA public GRANT SELECT ON TABLES TO ticker_ro;
ALTER DEFAULT PRIVILEGES FOR ROLE ticker_migrate IN SCHEMA public GRANT USAGE ON SEQUENCES TO ticker_rw;
ALTER DEFAULT PRIVILEGES FOR ROLE ticker_migrate IN SCHEMA public GRANT SELECT ON SEQUENCES TO ticker_rw, ticker_ro;
ALTER DEFAULT PRIVILEGES FOR ROLE ticker_migrate IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO ticker_rw;
