-- Deletes ranges that end before the oldest partition. Without any partition the minimum is NULL, and nothing is
-- deleted.
DELETE FROM coverage WHERE to_time < (
    SELECT min(to_date(right(c.relname, 8), 'YYYYMMDD'))::timestamp AT TIME ZONE 'UTC'
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'trades'::regclass
)
