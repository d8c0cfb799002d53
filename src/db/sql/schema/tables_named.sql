SELECT relname::text FROM pg_class
WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relname = ANY ($1)
ORDER BY relname
