-- Dropping a day without trades freezes no candles. A writer makes the tables of its days before it writes into them, so
-- the cleaner may meet a table that is still empty: the candles of what is then written could not be derived.
DO $migration$
BEGIN
    EXECUTE format($sql$
        CREATE OR REPLACE FUNCTION ticker_drop_day(day date) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
        DECLARE
            part text := 'trades_p' || to_char(day, 'YYYYMMDD');
            progress candle_progress;
            is_pending boolean;
            is_empty boolean;
        BEGIN
            -- Only what is a day of trades; another table of such a name stays.
            IF NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                           WHERE i.inhparent = 'trades'::regclass AND c.relname = part) THEN
                RETURN;
            END IF;
            SELECT * INTO progress FROM candle_progress FOR UPDATE;
            EXECUTE format('LOCK TABLE %%I IN ACCESS EXCLUSIVE MODE', part);
            EXECUTE format($query$
                SELECT EXISTS (SELECT FROM %%1$I) AND ($1 IS NULL
                    OR EXISTS (SELECT FROM %%1$I WHERE toid BETWEEN $2 AND $3)
                    OR (SELECT l.seq > $1 FROM ingest_lease l WHERE l.name = 'ingest')
                       AND NOT EXISTS (SELECT FROM ingest_batches b WHERE b.seq = $1 + 1)
                    OR EXISTS (SELECT FROM ingest_batches b
                               WHERE b.seq > $1 AND b.kind IN ('live', 'backfill', 'repair') AND b.trades > 0
                                 AND EXISTS (SELECT FROM %%1$I t
                                             WHERE t.toid BETWEEN split_part(b.from_token, '-', 1)::bigint
                                                              AND split_part(b.to_token, '-', 1)::bigint)))
            $query$, part) INTO is_pending USING progress.seq, progress.rest_toid, progress.rest_to_toid;
            IF is_pending THEN
                RAISE EXCEPTION 'candles of %% are not derived yet', day USING ERRCODE = 'lock_not_available';
            END IF;
            EXECUTE format('SELECT NOT EXISTS (SELECT FROM %%I)', part) INTO is_empty;
            IF NOT is_empty THEN
                UPDATE candle_progress
                SET frozen_before = greatest(frozen_before, (day + 1)::timestamp AT TIME ZONE 'UTC');
            END IF;
            EXECUTE format('DROP TABLE %%I', part);
        END
        $body$;
    $sql$, current_schema());
END
$migration$;
