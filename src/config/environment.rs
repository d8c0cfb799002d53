//! Variables of the environment: those of the settings, and unknown ones with the prefix of this program.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::setting::Setting;
use super::suggestion;
use super::table::SETTINGS;
use super::visible;

/// Variables by name. The program passes the environment of the process, tests pass their own.
pub type Environment = BTreeMap<String, String>;

/// Directory of `postgres` and `initdb` for the private PostgreSQL.
pub const PG_BIN_DIR: &str = "TICKER_PG_BIN_DIR";
/// `1` lets tests of the whole program provoke panics.
pub const CHAOS: &str = "TICKER_CHAOS";
/// Time for which the sweep of all assets may stall in such tests, in milliseconds.
pub const CHAOS_ASSETS_MS: &str = "TICKER_CHAOS_ASSETS_MS";
/// Time for which a leader must fail to read new trades in such tests, before another replica takes over, in
/// milliseconds.
pub const CHAOS_BLIND_MS: &str = "TICKER_CHAOS_BLIND_MS";
/// Time after which the first publication waits no longer for assets in such tests, in milliseconds.
pub const CHAOS_FIRST_PUBLICATION_MS: &str = "TICKER_CHAOS_FIRST_PUBLICATION_MS";
/// Time for which a part may fail before its check does in such tests, in milliseconds.
pub const CHAOS_GRACE_MS: &str = "TICKER_CHAOS_GRACE_MS";
/// Pause after a request for the hash of a ledger that Horizon did not answer in such tests, in milliseconds.
pub const CHAOS_LAKE_HASH_MS: &str = "TICKER_CHAOS_LAKE_HASH_MS";
/// Time for which a lake may be late in such tests, in milliseconds.
pub const CHAOS_LAKE_LATE_MS: &str = "TICKER_CHAOS_LAKE_LATE_MS";
/// Duration of the lease in such tests, in milliseconds.
pub const CHAOS_LEASE_MS: &str = "TICKER_CHAOS_LEASE_MS";
/// Time without progress after which an actor is restarted in such tests, in milliseconds.
pub const CHAOS_STALE_MS: &str = "TICKER_CHAOS_STALE_MS";

/// Prefix of the variables of this program.
const PREFIX: &str = "TICKER_";
/// Variables that are no settings, but that the program, `./ticker` or the tests read.
const OTHERS: [&str; 20] = [
    PG_BIN_DIR,
    CHAOS,
    CHAOS_ASSETS_MS,
    CHAOS_BLIND_MS,
    CHAOS_FIRST_PUBLICATION_MS,
    CHAOS_GRACE_MS,
    CHAOS_LAKE_HASH_MS,
    CHAOS_LAKE_LATE_MS,
    CHAOS_LEASE_MS,
    CHAOS_STALE_MS,
    "TICKER_ADMIN_URL",
    "TICKER_BINARY",
    "TICKER_CI_IMAGE",
    "TICKER_CI_SECONDS",
    "TICKER_DEBIAN_MIRROR",
    "TICKER_IMAGE_ENGINE",
    "TICKER_IMAGE_TEST_CACHE",
    "TICKER_POLICY_FILE",
    "TICKER_UPDATE_DOCS",
    "TICKER_URL",
];
/// Prefix of variables with which a developer scales a test run.
const TEST_PREFIX: &str = "TICKER_TEST_";

/// Returns a fault for each unknown variable with the prefix of this program. A misspelt setting would otherwise be
/// ignored without a word.
pub(super) fn unknown_variables(environment: &Environment) -> Vec<Fault> {
    let known: Vec<String> = SETTINGS.iter().flat_map(Setting::variables).collect();
    let is_known = |name: &str| {
        known.iter().any(|known| known == name) || OTHERS.contains(&name) || name.starts_with(TEST_PREFIX)
    };
    environment
        .iter()
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
        .filter(|(name, value)| !is_known(name) && !is_of_service(name, value))
        .map(|(name, _)| Fault::UnknownVariable {
            variable: visible::shortened(visible::on_one_line(name)),
            suggestion: suggested(name, &known),
        })
        .collect()
}

/// Returns true for variables that Kubernetes or Docker set for a service or a linked container named `ticker…`:
/// `TICKER_SERVICE_HOST`, `TICKER_PORT=tcp://…`, `TICKER_PORT_8000_TCP_ADDR`, `TICKER_NAME=/web/ticker`,
/// `TICKER_ENV_LANG`.
fn is_of_service(name: &str, value: &str) -> bool {
    let of_a_port = |protocol: &str| name.contains("_PORT_") && name.contains(protocol);
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || ["_TCP", "_UDP", "_SCTP"].into_iter().any(of_a_port)
        || name.ends_with("_PORT") && value.contains("://")
        || name.ends_with("_NAME") && value.starts_with('/')
        || name.contains("_ENV_")
}

/// Returns the variable that was probably meant.
fn suggested(name: &str, known: &[String]) -> Option<String> {
    let written = name.strip_prefix(PREFIX)?.to_lowercase().replace('_', "-");
    let is_named =
        |setting: &&Setting| setting.name == written || setting.aliases.contains(&written.as_str());
    let by_flag = SETTINGS.iter().find(is_named).and_then(|setting| setting.env.first());
    let by_word = match written.as_str() {
        "port" | "listen" | "host" | "http-port" => Some("TICKER_BIND"),
        "testnet" | "passphrase" | "network-passphrase" => Some("TICKER_NETWORK"),
        "horizon" => Some("HORIZON_URL"),
        "log-level" | "rust-log" => Some("RUST_LOG"),
        _ => None,
    };
    let direct = by_flag.copied().or(by_word).map(str::to_owned);
    direct.or_else(|| suggestion::nearest(name, known.iter().map(String::as_str)))
}
