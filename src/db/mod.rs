//! PostgreSQL: the pool, the schema, one file a table.

pub mod private_postgres;
