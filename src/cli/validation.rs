//! The command `validate`, which checks what a running server serves.

use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser};

use super::parts::{JSON, command, settings};
use super::relevant;
use crate::config::{self, ConfigError};

/// Families of formats, as `--format` names them.
const FAMILIES: [&str; 6] = ["own", "ccxt", "coingecko", "coinmarketcap", "udf", "horizon"];
const URL: &str = "url";
const FORMAT: &str = "format";

/// Server and documents to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation {
    /// Base URL, without a trailing slash.
    pub url: String,
    /// Family of formats, or `None` for all: `own`, `ccxt`, `coingecko`, `coinmarketcap`, `udf` or `horizon`.
    pub format: Option<String>,
    /// True to print JSON.
    pub prints_json: bool,
}

/// The command, for the definition.
pub(super) fn definition() -> Command {
    let about = "Check what a running server serves: each document of the market API and of the listing formats by its \
                 JSON Schema, and all formats against each other. Changes nothing";
    let examples = "stellar-ticker validate http://127.0.0.1:8080\n  \
                    stellar-ticker validate https://ticker.example --format coingecko\n\n\
                    Exit codes: 0 all is well; 1 a difference; 64 usage; 69 the server does not answer, or has published nothing yet; 78 a refused setting or URL";
    settings(command("validate", about, examples), relevant::validate)
        .arg(
            Arg::new(URL)
                .value_name("URL")
                .required(true)
                .help("Base URL of the server: http or https, without user, query or fragment"),
        )
        .arg(
            Arg::new(FORMAT)
                .long(FORMAT)
                .value_name("NAME")
                .value_parser(PossibleValuesParser::new(FAMILIES))
                .help("Check one family of formats, and compare it with the market API [default: all]"),
        )
        .arg(Arg::new(JSON).long(JSON).action(ArgAction::SetTrue).help("Print one JSON object"))
}

/// Reads the arguments.
pub(super) fn parse(matches: &ArgMatches) -> Result<Validation, ConfigError> {
    let url = matches.get_one::<String>(URL).map(String::as_str).unwrap_or_default();
    Ok(Validation {
        url: config::validated_url(url)?,
        format: matches.get_one::<String>(FORMAT).cloned(),
        prints_json: matches.get_flag(JSON),
    })
}
