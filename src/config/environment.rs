//! Variables of the environment: those of the settings, and those that no setting reads but that begin like them.

/// Directory of `postgres` and `initdb` for the private PostgreSQL.
pub const PG_BIN_DIR: &str = "TICKER_PG_BIN_DIR";
