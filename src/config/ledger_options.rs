//! Options of the command `ledger`, which needs no configuration of a daemon.

use super::environment::{Environment, unknown_variables};
use super::fault::ConfigError;
use super::file::FileValues;
use super::parse;
use super::resolve::resolve;
use super::setting::{Fallback, Group, Setting};
use super::settings::{FlagValues, Profile};
use super::typed::SettingReader;

/// Flags of `ledger trades`.
pub static LEDGER_SETTINGS: &[Setting] = &[Setting {
    name: "network",
    env: &["TICKER_NETWORK"],
    fallback: Fallback::Value("public"),
    value_name: "NETWORK",
    help: "Network that the ledgers belong to",
    allowed: "public, testnet or a network's passphrase",
    group: Group::Upstream,
    is_in_file: false,
    ..Setting::PLAIN
}];

/// Returns the passphrase of the network whose ledgers are read.
///
/// # Errors
///
/// A network that is not meant as it is spelt, or an unknown variable.
pub fn ledger_network(flags: &FlagValues, environment: &Environment) -> Result<String, ConfigError> {
    let mut faults = unknown_variables(environment);
    let file = FileValues::default();
    let settings = resolve(LEDGER_SETTINGS, flags, environment, &file, Profile::Real, &mut faults);
    let passphrase = SettingReader::new(&settings, &mut faults).read("network", parse::network_passphrase);
    passphrase.filter(|_| faults.is_empty()).ok_or(ConfigError::new(faults))
}
