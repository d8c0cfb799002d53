//! The table of settings, from which flags, variables, keys of the file and help texts are made.

use super::parse::{AT_MOST_A_YEAR, INTERVAL};
use super::setting::{Fallback, Group, InDemo, Kind, Setting};

const HTTP_BASE: &str = "an http or https base URL without user, query or fragment";
const SOURCE: &str = "horizon, lake or rpc; lake needs --lake-url, and rpc --rpc-url";
const CRON: &str = "a cron expression in UTC with five fields, or six with the seconds first; weekday \
                    numbers begin with Sunday = 0; names such as MON are clearer";
const ADDRESS: &str = "HOST:PORT with an IP address or localhost, such as 127.0.0.1:8080 or [::1]:8080";
const PATH: &str = "a path";
const POSTGRES: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE, or KEY=VALUE pairs as libpq takes them";

/// Every setting of `serve`, in the order in which the help and `config show` list them.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "config",
        env: &["TICKER_CONFIG"],
        value_name: "FILE",
        help: "TOML file with further settings; its keys are the long flags with _ for -",
        allowed: "a readable TOML file",
        is_in_file: false,
        ..Setting::PLAIN
    },
    Setting {
        name: "database-url",
        short: Some('d'),
        aliases: &["db-url"],
        env: &["DATABASE_URL", "DB_URL"],
        fallback: Fallback::Described("a private PostgreSQL under the data directory"),
        value_name: "URL",
        help: "PostgreSQL that stores the trades",
        allowed: POSTGRES,
        is_secret: true,
        in_demo: InDemo::FlagOnly,
        ..DATABASE
    },
    Setting {
        name: "database-direct-url",
        env: &["DATABASE_DIRECT_URL"],
        fallback: Fallback::Described("the same as --database-url"),
        value_name: "URL",
        help: "The same database without the pooler, for migrations",
        allowed: POSTGRES,
        is_secret: true,
        in_demo: InDemo::FlagOnly,
        ..DATABASE
    },
    Setting {
        name: "startup-timeout",
        env: &["TICKER_STARTUP_TIMEOUT"],
        fallback: Fallback::Value("60s"),
        value_name: "DURATION",
        help: "Longest wait at start for the database and the ports",
        allowed: AT_MOST_A_YEAR,
        ..DATABASE
    },
    Setting {
        name: "ca-file",
        env: &["SSL_CERT_FILE"],
        value_name: "FILE",
        help: "PEM file of certificate authorities to trust in addition to the built-in ones",
        allowed: PATH,
        ..UPSTREAM
    },
    Setting {
        name: "horizon-url",
        env: &["HORIZON_URL"],
        fallback: Fallback::Described("https://horizon.stellar.org, or the test network's with --testnet"),
        value_name: "URL",
        help: "Horizon to read from",
        allowed: HTTP_BASE,
        in_demo: InDemo::Fixed,
        ..UPSTREAM
    },
    Setting {
        name: "network",
        env: &["TICKER_NETWORK"],
        fallback: Fallback::Value("public"),
        value_name: "NETWORK",
        help: "Network that Horizon must serve: public, testnet or a passphrase",
        allowed: "public, testnet or a network's passphrase",
        in_demo: InDemo::Fixed,
        ..UPSTREAM
    },
    Setting {
        name: "testnet",
        fallback: Fallback::Described("off"),
        help: "Short for --network testnet; changes the default Horizon too",
        allowed: "true or false; true contradicts another --network",
        kind: Kind::Switch,
        in_demo: InDemo::Fixed,
        ..UPSTREAM
    },
    Setting {
        name: "horizon-requests-per-hour",
        env: &["TICKER_HORIZON_REQUESTS_PER_HOUR"],
        fallback: Fallback::Value("3600"),
        value_name: "N",
        help: "Largest number of requests to Horizon per hour; 0 for no limit",
        allowed: "a whole number, 0 for no limit",
        kind: Kind::Count,
        // The simulated Horizon has no other clients.
        in_demo: InDemo::FlagOnly,
        demo_fallback: Some(Fallback::Value("0")),
        ..UPSTREAM
    },
    Setting {
        name: "stream-idle-timeout",
        env: &["TICKER_STREAM_IDLE_TIMEOUT"],
        fallback: Fallback::Value("90s"),
        value_name: "DURATION",
        help: "Reconnect the stream of trades after this time without a byte",
        allowed: INTERVAL,
        ..UPSTREAM
    },
    Setting {
        name: "ledger-source",
        env: &["TICKER_LEDGER_SOURCE"],
        fallback: Fallback::Value("horizon"),
        value_name: "SOURCE",
        help: "Source of the history of trades: horizon, lake or rpc",
        allowed: SOURCE,
        in_demo: InDemo::FlagOnly,
        ..UPSTREAM
    },
    Setting {
        name: "live-from",
        env: &["TICKER_LIVE_FROM"],
        fallback: Fallback::Value("horizon"),
        value_name: "SOURCE",
        help: "Source of new trades: horizon, lake or rpc",
        allowed: SOURCE,
        in_demo: InDemo::FlagOnly,
        ..UPSTREAM
    },
    Setting {
        name: "lake-url",
        env: &["TICKER_LAKE_URL"],
        value_name: "URL",
        help: "Data lake of ledger metadata (SEP-54): the directory that holds .config.json, by file, http or https",
        allowed: "file:///DIRECTORY, or an http or https base URL without user, query or fragment",
        in_demo: InDemo::FlagOnly,
        ..UPSTREAM
    },
    Setting {
        name: "rpc-url",
        env: &["TICKER_RPC_URL"],
        value_name: "URL",
        help: "Stellar RPC that returns ledger metadata from getLedgers",
        allowed: HTTP_BASE,
        in_demo: InDemo::FlagOnly,
        ..UPSTREAM
    },
    Setting {
        name: "lake-parallel",
        env: &["TICKER_LAKE_PARALLEL"],
        fallback: Fallback::Value("16"),
        value_name: "N",
        help: "Objects of the lake, or ledgers of RPC, to fetch in parallel",
        allowed: "a whole number from 1 to 128",
        kind: Kind::Count,
        ..UPSTREAM
    },
    Setting {
        name: "lake-verify",
        env: &["TICKER_LAKE_VERIFY"],
        fallback: Fallback::Value("anchor"),
        value_name: "LEVEL",
        help: "Verification of ledgers from the lake or from RPC: anchor, chain or off",
        allowed: "anchor (hashes, chain, and Horizon's hash of a ledger), chain (hashes and chain) or off",
        ..UPSTREAM
    },
    Setting {
        name: "toml-gateway",
        env: &["TICKER_TOML_GATEWAY"],
        value_name: "URL",
        help: "Fetch every stellar.toml from URL/<domain>/.well-known/stellar.toml only",
        allowed: HTTP_BASE,
        in_demo: InDemo::Fixed,
        ..UPSTREAM
    },
    Setting {
        name: "bind",
        aliases: &["address"],
        env: &["TICKER_BIND"],
        fallback: Fallback::Value("127.0.0.1:8080"),
        value_name: "HOST:PORT",
        help: "Public listener",
        allowed: ADDRESS,
        ..LISTENERS
    },
    Setting {
        name: "admin-bind",
        env: &["TICKER_ADMIN_BIND"],
        fallback: Fallback::Value("127.0.0.1:9090"),
        value_name: "HOST:PORT",
        help: "Admin listener: metrics, actors, quarantine, audit",
        allowed: ADDRESS,
        ..LISTENERS
    },
    Setting {
        name: "nginx",
        env: &["TICKER_NGINX"],
        fallback: Fallback::Described("off"),
        value_name: "FILE",
        help: "Run nginx with this nginx.conf as a supervised child process",
        allowed: PATH,
        ..LISTENERS
    },
    Setting {
        name: "nginx-bind",
        env: &["TICKER_NGINX_BIND"],
        fallback: Fallback::Value("0.0.0.0:8000"),
        value_name: "HOST:PORT",
        help: "Address of that nginx",
        allowed: ADDRESS,
        ..LISTENERS
    },
    Setting {
        name: "connections-per-address",
        env: &["TICKER_CONNECTIONS_PER_ADDRESS"],
        fallback: Fallback::Value("1000"),
        value_name: "N",
        help: "Largest number of connections to the public listener per client address; 0 for no limit",
        allowed: "a whole number, 0 for no limit",
        kind: Kind::Count,
        ..LISTENERS
    },
    Setting {
        name: "data-dir",
        env: &["TICKER_DATA_DIR"],
        fallback: Fallback::Value("./data"),
        value_name: "DIR",
        help: "Directory for all data of this program; demo uses DIR/demo",
        allowed: PATH,
        ..STORAGE
    },
    Setting {
        name: "output-dir",
        env: &["TICKER_OUTPUT_DIR"],
        fallback: Fallback::Described("<data-dir>/www"),
        value_name: "DIR",
        help: "Directory of the published files; each replica needs its own",
        allowed: PATH,
        in_demo: InDemo::FlagOnly,
        demo_fallback: Some(Fallback::Described("<data-dir>/demo/www")),
        ..STORAGE
    },
    Setting {
        name: "backfill-hours",
        env: &["TICKER_BACKFILL_HOURS"],
        fallback: Fallback::Value("168"),
        value_name: "HOURS",
        help: "Hours of history to fill, the newest first",
        allowed: "a whole number of hours, at most --retention-days",
        kind: Kind::Count,
        ..STORAGE
    },
    Setting {
        name: "retention-days",
        env: &["TICKER_RETENTION_DAYS"],
        fallback: Fallback::Value("8"),
        value_name: "DAYS",
        help: "Days to keep trades",
        allowed: "a whole number of days from 8 (the 7-day window needs it) to 36500",
        kind: Kind::Count,
        ..STORAGE
    },
    Setting {
        name: "candle-retention-days",
        env: &["TICKER_CANDLE_RETENTION_DAYS"],
        fallback: Fallback::Value("365"),
        value_name: "DAYS",
        help: "Days to keep hourly and daily candles; the default is --retention-days if that is more. Minute candles are kept for 30 days, or for this time if that is shorter",
        allowed: "a whole number of days from --retention-days to 36500",
        kind: Kind::Count,
        ..STORAGE
    },
    Setting {
        name: "assets-schedule",
        env: &["TICKER_ASSETS_SCHEDULE"],
        fallback: Fallback::Value("0 */6 * * *"),
        value_name: "CRON",
        help: "Schedule of the sweep of all assets; also runs at start",
        allowed: CRON,
        ..SCHEDULES
    },
    Setting {
        name: "orderbooks-schedule",
        env: &["TICKER_ORDERBOOKS_SCHEDULE"],
        fallback: Fallback::Value("*/10 * * * *"),
        value_name: "CRON",
        help: "Schedule of reading the order books; also runs at start",
        allowed: CRON,
        ..SCHEDULES
    },
    Setting {
        name: "clean-schedule",
        env: &["TICKER_CLEAN_SCHEDULE"],
        fallback: Fallback::Value("0 * * * *"),
        value_name: "CRON",
        help: "Schedule of deleting trades older than the retention; also runs at start",
        allowed: CRON,
        ..SCHEDULES
    },
    Setting {
        name: "publish-interval",
        env: &["TICKER_PUBLISH_INTERVAL"],
        fallback: Fallback::Value("1s"),
        value_name: "DURATION",
        help: "Shortest time between publications with newer trades; without newer trades, the time between publications",
        allowed: INTERVAL,
        ..PUBLICATION
    },
    Setting {
        name: "file-interval",
        env: &["TICKER_FILE_INTERVAL"],
        fallback: Fallback::Value("auto"),
        value_name: "auto|DURATION",
        help: "Time between writes of the files; auto: at each publication while they are small, else every 15 s",
        allowed: "auto, or a duration from 10ms to 365d, such as 15s",
        ..PUBLICATION
    },
    Setting {
        name: "stale-after",
        env: &["TICKER_STALE_AFTER"],
        fallback: Fallback::Value("10m"),
        value_name: "DURATION",
        help: "Time without new data after which the data counts as stale",
        allowed: INTERVAL,
        ..PUBLICATION
    },
    Setting {
        name: "audit-interval",
        env: &["TICKER_AUDIT_INTERVAL"],
        fallback: Fallback::Value("2m"),
        value_name: "DURATION",
        help: "Shortest time between two audits, which recompute everything published from the raw trades",
        allowed: INTERVAL,
        ..PUBLICATION
    },
    Setting {
        name: "usd-anchors",
        env: &["TICKER_USD_ANCHORS"],
        fallback: Fallback::Value(
            "USDC:GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN,\
             yUSDC:GDGTVWSM4MGS4T7Z6W4RPWOCHE2I6RDFCIFZGS3DOA63LWQTRNZNTTFF",
        ),
        value_name: "ASSET,…",
        help: "Assets that count as a US dollar",
        allowed: "a list of CODE-ISSUER or CODE:ISSUER, separated by commas; empty for none",
        kind: Kind::List,
        ..PUBLICATION
    },
    LOG_FORMAT,
    LOG,
    Setting {
        name: "trace-messages",
        env: &["TICKER_TRACE_MESSAGES"],
        fallback: Fallback::Value("on"),
        value_name: "on|off",
        help: "Record the messages between the actors, for /trace and `stellar-ticker trace`",
        allowed: "on or off",
        ..LOGGING
    },
];

const DATABASE: Setting = Setting { group: Group::Database, ..Setting::PLAIN };
const UPSTREAM: Setting = Setting { group: Group::Upstream, ..Setting::PLAIN };
const LISTENERS: Setting = Setting { group: Group::Listeners, ..Setting::PLAIN };
const STORAGE: Setting = Setting { group: Group::Storage, ..Setting::PLAIN };
const SCHEDULES: Setting = Setting { group: Group::Schedules, ..Setting::PLAIN };
const PUBLICATION: Setting = Setting { group: Group::Publication, ..Setting::PLAIN };
const LOGGING: Setting = Setting { group: Group::Logging, ..Setting::PLAIN };

/// Format of the log, the same for all commands that log.
pub(super) const LOG_FORMAT: Setting = Setting {
    name: "log-format",
    env: &["TICKER_LOG_FORMAT"],
    fallback: Fallback::Value("auto"),
    value_name: "FORMAT",
    help: "Format of the log on stderr: text, json or auto; auto is text on a terminal, else json",
    allowed: "text, json or auto",
    ..LOGGING
};

/// Filter of the log.
pub(super) const LOG: Setting = Setting {
    name: "log",
    env: &["RUST_LOG"],
    fallback: Fallback::Value("info"),
    value_name: "FILTER",
    // People read the log of a demo on a terminal.
    demo_fallback: Some(Fallback::Value("warn,stellar_ticker::app=info")),
    help: "Filter of the log, such as info or info,stellar_ticker::horizon=debug",
    allowed: "a filter of comma-separated directives, each LEVEL or TARGET=LEVEL",
    ..LOGGING
};
