//! Settings that matter to each command. Its help lists these. It accepts all others too.

/// Settings of every command that opens the database: the database and the log.
const DATABASE: [&str; 8] = [
    "config",
    "database-url",
    "database-direct-url",
    "startup-timeout",
    "ca-file",
    "data-dir",
    "log-format",
    "log",
];
/// Settings of commands that check whether the database holds the configured network.
const NETWORK: [&str; 2] = ["network", "testnet"];
/// Settings of commands that read from Horizon.
const HORIZON: [&str; 2] = ["horizon-url", "horizon-requests-per-hour"];
/// Settings of commands that read trades.
const TRADES: [&str; 9] = [
    "stream-idle-timeout",
    "ledger-source",
    "live-from",
    "lake-url",
    "rpc-url",
    "lake-parallel",
    "lake-verify",
    "backfill-hours",
    "retention-days",
];

/// Lists every setting.
pub(super) const fn all(_: &str) -> bool {
    true
}

/// `migrate`, `start-over`.
pub(super) fn database(name: &str) -> bool {
    DATABASE.contains(&name)
}

/// `generate`.
pub(super) fn stored_data(name: &str) -> bool {
    database(name) || NETWORK.contains(&name)
}

/// `ingest orderbooks`.
pub(super) fn orderbooks(name: &str) -> bool {
    stored_data(name) || HORIZON.contains(&name)
}

/// `ingest assets`.
pub(super) fn assets(name: &str) -> bool {
    orderbooks(name) || name == "toml-gateway"
}

/// `ingest trades`.
pub(super) fn trades(name: &str) -> bool {
    orderbooks(name) || TRADES.contains(&name)
}

/// `clean trades`, which asks Horizon for its network before it deletes.
pub(super) fn cleaning(name: &str) -> bool {
    stored_data(name) || ["horizon-url", "retention-days", "candle-retention-days"].contains(&name)
}

/// `audit`.
pub(super) fn audit(name: &str) -> bool {
    database(name) || listeners(name)
}

/// `actors`, `trace`, `explain`.
pub(super) fn listeners(name: &str) -> bool {
    ["config", "bind", "admin-bind"].contains(&name)
}

/// `healthcheck`.
pub(super) fn healthcheck(name: &str) -> bool {
    ["config", "bind", "log-format", "log"].contains(&name)
}

/// `validate`.
pub(super) fn validate(name: &str) -> bool {
    ["config", "ca-file"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SETTINGS;

    type Listed = fn(&str) -> bool;

    #[test]
    fn every_named_setting_exists() {
        let is_known = |name: &str| SETTINGS.iter().any(|setting| setting.name == name);
        for name in DATABASE.iter().chain(&NETWORK).chain(&HORIZON).chain(&TRADES) {
            assert!(is_known(name), "{name}");
        }
        let counted = |listed: Listed| SETTINGS.iter().filter(|one| listed(one.name)).count();
        let counts: [(Listed, usize); 10] = [
            (database, 8),
            (stored_data, 10),
            (orderbooks, 12),
            (assets, 13),
            (trades, 21),
            (cleaning, 13),
            (audit, 10),
            (listeners, 3),
            (healthcheck, 4),
            (validate, 2),
        ];
        for (listed, count) in counts {
            assert_eq!(counted(listed), count);
        }
    }
}
