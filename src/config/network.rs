//! The network and its default Horizon.

use super::fault::{Fault, FaultKind};
use super::settings::{Profile, Settings};
use super::source::Source;
use super::suggestion;

/// Passphrase of the public network.
pub const PUBLIC_PASSPHRASE: &str = "Public Global Stellar Network ; September 2015";
/// Passphrase of the test network.
pub const TESTNET_PASSPHRASE: &str = "Test SDF Network ; September 2015";
/// Passphrase of the simulated network of `demo`. It differs from real ones, so that a real database refuses it.
pub const DEMO_PASSPHRASE: &str = "Stellar Ticker Demo Network ; simulated";

const PUBLIC_HORIZON: &str = "https://horizon.stellar.org";
const TESTNET_HORIZON: &str = "https://horizon-testnet.stellar.org";
/// Address where nothing can listen. It is a safeguard: the caller replaces it, and otherwise a demo must not reach a
/// real Horizon.
const DEMO_HORIZON: &str = "http://127.0.0.1:0";

/// Common names of networks that are no values of `--network`, each with the value to use. No passphrase is among them.
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

/// Returns a suggestion for a common name of a network, or for a misspelt `public` or `testnet`. Any other text may be
/// the passphrase of a private network.
pub(super) fn meant(network: &str) -> Option<String> {
    let written = network.trim().to_lowercase();
    if ["public", "testnet"].contains(&network) || written.contains(char::is_whitespace) {
        return None;
    }
    let mistaken = MISTAKEN.iter().find(|(name, _)| *name == written).map(|(_, meant)| (*meant).to_owned());
    mistaken.or_else(|| suggestion::nearest(&written, ["public", "testnet"].into_iter()))
}

/// Returns the passphrase of `public` or `testnet`; any other text is the passphrase itself.
pub(super) fn passphrase(network: &str) -> String {
    match network {
        "public" => PUBLIC_PASSPHRASE.to_owned(),
        "testnet" => TESTNET_PASSPHRASE.to_owned(),
        other => other.to_owned(),
    }
}

/// Resolves `--network`, `--testnet` (the higher source wins) and the default Horizon.
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
