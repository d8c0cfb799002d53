-- Ranges that end before the oldest day that is kept. A table without days holds nothing, and then nothing is said.
DELETE FROM coverage WHERE to_time < (
    SELECT min(to_date(right(c.relname, 8), 'YYYYMMDD'))::timestamp AT TIME ZONE 'UTC'
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'trades'::regclass
)
