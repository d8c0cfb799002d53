//! Metrics of the process and of what it shares with others.

use crate::instruments::metric::{Label, Metric, Unit};

const VERSION: &[Label] = &[Label { name: "version", values: &[env!("CARGO_PKG_VERSION")] }];
const DIRECTORY: &[Label] = &[Label { name: "directory", values: &["data", "output"] }];

pub(super) const METRICS: &[Metric] = &[
    Metric::gauge("ticker_build_info", Unit::Flag, "1, with the version as a label.").by(VERSION),
    Metric::gauge(
        "ticker_database_pool_connections_max",
        Unit::Count,
        "Largest number of connections to PostgreSQL.",
    ),
    Metric::gauge("ticker_database_pool_connections", Unit::Count, "Open connections to PostgreSQL."),
    Metric::gauge("ticker_database_pool_connections_in_use", Unit::Count, "Connections that are in use."),
    Metric::gauge("ticker_database_pool_waiting", Unit::Count, "Callers that wait for a connection."),
    Metric::gauge("ticker_disk_free_bytes", Unit::Bytes, "Free bytes for the daemon's user, by directory.")
        .by(DIRECTORY),
    Metric::float_counter("process_cpu_seconds_total", "Time on a core, of user and system."),
    Metric::gauge("process_resident_memory_bytes", Unit::Bytes, "Resident memory."),
    Metric::gauge("process_virtual_memory_bytes", Unit::Bytes, "Virtual memory."),
    Metric::gauge("process_open_fds", Unit::Count, "Open file descriptors."),
    Metric::gauge("process_max_fds", Unit::Count, "Limit on open file descriptors."),
    Metric::gauge("process_threads", Unit::Count, "Threads."),
    Metric::gauge("process_start_time_seconds", Unit::Seconds, "Start of the process in Unix time."),
];
