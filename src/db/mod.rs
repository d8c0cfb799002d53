//! PostgreSQL: the pool, the schema, one file a table.
