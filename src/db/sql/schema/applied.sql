SELECT version::int4, name FROM refinery_schema_history
