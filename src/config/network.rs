//! Which network, and the Horizon that goes with it.

use super::fault::{Fault, FaultKind};
use super::resolve::{Profile, Settings, Source};

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
