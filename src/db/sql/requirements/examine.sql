SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_setting('server_encoding'),
       (SELECT datcollate::text FROM pg_database WHERE datname = current_database()),
       current_setting('TimeZone'), extract(epoch FROM clock_timestamp())::float8, pg_is_in_recovery()
