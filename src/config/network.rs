//! Which network, and the Horizon that goes with it.

use super::fault::{Fault, FaultKind};
use super::resolve::{Profile, Settings, Source};
use super::suggestion;

/// The passphrase of the public network.
pub const PUBLIC_PASSPHRASE: &str = "Public Global Stellar Network ; September 2015";
/// The passphrase of the test network.
pub const TESTNET_PASSPHRASE: &str = "Test SDF Network ; September 2015";
/// The passphrase of `demo`'s simulated network, so that a database tells it from a real one.
pub const DEMO_PASSPHRASE: &str = "Stellar Ticker Demo Network ; simulated";

const PUBLIC_HORIZON: &str = "https://horizon.stellar.org";
const TESTNET_HORIZON: &str = "https://horizon-testnet.stellar.org";
/// Where nothing can listen: a demo whose simulated Horizon was not put in its place must not reach a real one.
const DEMO_HORIZON: &str = "http://127.0.0.1:0";

/// Services names of networks that are not settings, each with the value to use instead. No passphrase is among them.
const MISTAKEN: [(&str, &str); 16] = [
    ("mainnet", "public"),
    ("main", "public"),
    ("pubnet", "public"),
    ("publicnet", "public"),
    ("livenet", "public"),
    ("live", "public"),
    ("production", "public"),
    ("prod", "public"),
    ("test", "testnet"),
    ("test-net", "testnet"),
    ("testing", "testnet"),
    ("futurenet", FUTURENET_PASSPHRASE),
    ("future", FUTURENET_PASSPHRASE),
    ("standalone", STANDALONE_PASSPHRASE),
    ("local", STANDALONE_PASSPHRASE),
    ("localnet", STANDALONE_PASSPHRASE),
];
const FUTURENET_PASSPHRASE: &str = "Test SDF Future Network ; October 2022";
const STANDALONE_PASSPHRASE: &str = "Standalone Network ; February 2017";

/// Suggestion for an unknown network: a common single-word name, or a misspelt `public` or `testnet`. Anything else may be
/// the passphrase of a private network.
pub(super) fn meant(network: &str) -> Option<String> {
    let written = network.trim().to_lowercase();
    if ["public", "testnet"].contains(&network) || written.contains(char::is_whitespace) {
        return None;
    }
    let mistaken = MISTAKEN.iter().find(|(name, _)| *name == written).map(|(_, meant)| (*meant).to_owned());
    mistaken.or_else(|| suggestion::nearest(&written, ["public", "testnet"].into_iter()))
}

/// The passphrase of a network as given: `public`, `testnet`, or the passphrase itself.
pub(super) fn passphrase(network: &str) -> String {
    match network {
        "public" => PUBLIC_PASSPHRASE.to_owned(),
        "testnet" => TESTNET_PASSPHRASE.to_owned(),
        other => other.to_owned(),
    }
}

/// Settles `--network` with `--testnet` (the higher source wins) and the default Horizon.
pub(super) fn settle(settings: &mut Settings, profile: Profile, faults: &mut Vec<Fault>) {
    if profile == Profile::Demo {
        settings.set("network", DEMO_PASSPHRASE.to_owned(), Some(Source::Default));
        settings.set("horizon-url", DEMO_HORIZON.to_owned(), Some(Source::Default));
        return;
    }
    settle_testnet(settings, faults);
    if settings.text("horizon-url").is_none() {
        let testnet =
            settings.text("network").is_some_and(|network| passphrase(network) == TESTNET_PASSPHRASE);
        let horizon = if testnet { TESTNET_HORIZON } else { PUBLIC_HORIZON };
        settings.set("horizon-url", horizon.to_owned(), None);
    }
}

fn settle_testnet(settings: &mut Settings, faults: &mut Vec<Fault>) {
    let (Some(testnet), Some(network)) = (settings.get("testnet"), settings.get("network")) else { return };
    if testnet.text.as_deref() != Some("true") || testnet.source.rank() < network.source.rank() {
        return;
    }
    let other = network.text.as_deref().is_some_and(|text| passphrase(text) != TESTNET_PASSPHRASE);
    if testnet.source.rank() == network.source.rank() && other {
        let detail = format!("it contradicts --network {} from {}", network.shown(), network.source);
        faults.push(testnet.fault(FaultKind::Refused, Some(detail)));
        return;
    }
    let source = testnet.source.clone();
    settings.set("network", "testnet".to_owned(), Some(source));
}
