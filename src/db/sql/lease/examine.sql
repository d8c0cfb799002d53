-- The holder without the mark of renew.sql.
-- As in take.sql, a later end was set while the server's clock was ahead, and counts for nothing.
SELECT split_part(holder, '+', 1), expires_at > now() AND expires_at <= now() + interval '60 seconds' FROM ingest_lease
