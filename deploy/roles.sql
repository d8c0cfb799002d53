-- Roles for a ticker that may do no more than it must. Run once, as a superuser, in the ticker's database, before the
-- first `migrate`:
--
--     createdb ticker
--     psql -d ticker -f deploy/roles.sql
--     psql -d ticker -c "ALTER ROLE ticker_migrate PASSWORD '…'" -c "ALTER ROLE ticker_rw PASSWORD '…'"
--     stellar-ticker migrate --database-url postgres://ticker_migrate:…@db/ticker
--     stellar-ticker serve   --database-url postgres://ticker_rw:…@db/ticker
--
-- ticker_migrate  owns the schema and changes it; used by `migrate` only (or as --database-direct-url of the daemon,
--                 which then migrates at its start).
-- ticker_rw       the daemon: reads and writes rows. It makes and drops days of trades through two functions that run as
--                 their owner, and can change nothing else of the schema.
-- ticker_ro       people and dashboards: reads, for 30 s a statement at most.
--
-- Running it again changes nothing. A database whose tables belong to one role already: REASSIGN OWNED BY that role TO
-- ticker_migrate, and then run this.

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

-- What is there already.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO ticker_rw, ticker_ro;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ticker_rw;
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
END
$$;

-- What ticker_migrate, and the functions that run as it, will make.
ALTER DEFAULT PRIVILEGES FOR ROLE ticker_migrate REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE ticker_migrate IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ticker_rw;
ALTER DEFAULT PRIVILEGES FOR ROLE ticker_migrate IN SCHEMA public GRANT SELECT ON TABLES TO ticker_ro;
ALTER DEFAULT PRIVILEGES FOR ROLE ticker_migrate IN SCHEMA public GRANT USAGE ON SEQUENCES TO ticker_rw;
ALTER DEFAULT PRIVILEGES FOR ROLE ticker_migrate IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO ticker_rw;
