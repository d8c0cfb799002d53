SELECT version::int4 FROM refinery_schema_history
