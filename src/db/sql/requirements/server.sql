-- The schema is the first one of the search path that exists and that the role may use, or NULL.
SELECT current_database()::text, current_setting('server_encoding'), current_setting('server_version_num')::int,
    current_schema()::text, current_setting('search_path')
