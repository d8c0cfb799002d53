//! Documents of all markets, as values: the routes and the JSON writer iterate over them.
//!
//! A new document is its file in `listings/` and one line in [`OUTPUTS`]. The lists that describe and check it are in
//! `docs/how-to/add-an-output-format.md`.

use std::io::{self, Write};

use crate::listings::{IdStyle, ListingView, ccxt, coingecko, coinmarketcap, own};

/// Renderer of a document, as JSON. It writes as it goes, since a document may have 70 MB.
type Render = fn(&ListingView, IdStyle, &mut dyn Write) -> io::Result<()>;

/// Document of all markets, made of one view.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Path of the public listener.
    pub path: &'static str,
    /// Path of the same document with contract ids.
    pub contract_path: Option<&'static str>,
    /// Name in the output directory, if the JSON writer writes it.
    pub file: Option<&'static str>,
    /// Name of its JSON Schema.
    pub schema: &'static str,
    /// True if a parameter in the request is an error. Listing sites add parameters of their own, against caches.
    pub refuses_parameters: bool,
    /// Renderer.
    pub render: Render,
}

/// All documents of all markets that have no parameters.
pub const OUTPUTS: &[Output] = &[
    Output {
        file: Some("v1/markets.json"),
        ..of_api("/v1/markets.json", "markets", |view, _, out| own::all_markets(view, out))
    },
    Output {
        refuses_parameters: true,
        ..of_api("/api/v1/assets", "assets", |view, _, out| own::assets(view, out))
    },
    Output {
        refuses_parameters: true,
        ..of_api("/api/v1/symbols", "symbols", |view, _, out| own::symbols(view, out))
    },
    of_site("/api/v1/ccxt/markets", "/api/v1/contract/ccxt/markets", "ccxt-markets", ccxt::markets),
    of_site("/api/v1/ccxt/tickers", "/api/v1/contract/ccxt/tickers", "ccxt-tickers", ccxt::tickers),
    of_site(
        "/api/v1/coingecko/pairs",
        "/api/v1/contract/coingecko/pairs",
        "coingecko-pairs",
        coingecko::pairs,
    ),
    of_site(
        "/api/v1/coingecko/tickers",
        "/api/v1/contract/coingecko/tickers",
        "coingecko-tickers",
        coingecko::tickers,
    ),
    of_site(
        "/api/v1/coinmarketcap/summary",
        "/api/v1/contract/coinmarketcap/summary",
        "coinmarketcap-summary",
        coinmarketcap::summary,
    ),
    of_site(
        "/api/v1/coinmarketcap/assets",
        "/api/v1/contract/coinmarketcap/assets",
        "coinmarketcap-assets",
        coinmarketcap::assets,
    ),
    of_site(
        "/api/v1/coinmarketcap/ticker",
        "/api/v1/contract/coinmarketcap/ticker",
        "coinmarketcap-ticker",
        coinmarketcap::ticker,
    ),
    of_site(
        "/api/v1/coinmarketcap/dex",
        "/api/v1/contract/coinmarketcap/dex",
        "coinmarketcap-dex",
        coinmarketcap::dex,
    ),
];

const fn of_api(path: &'static str, schema: &'static str, render: Render) -> Output {
    Output { path, contract_path: None, file: None, schema, refuses_parameters: false, render }
}

const fn of_site(
    path: &'static str,
    contract_path: &'static str,
    schema: &'static str,
    render: Render,
) -> Output {
    let contract_path = Some(contract_path);
    Output { path, contract_path, file: None, schema, refuses_parameters: false, render }
}

impl Output {
    /// The document with this schema.
    #[must_use]
    pub fn named(schema: &str) -> Option<Self> {
        OUTPUTS.iter().find(|output| output.schema == schema).copied()
    }

    /// Paths, each with its spelling of assets.
    pub fn paths(self) -> impl Iterator<Item = (&'static str, IdStyle)> {
        let contract = self.contract_path.map(|path| (path, IdStyle::Contract));
        std::iter::once((self.path, IdStyle::Classic)).chain(contract)
    }

    /// Documents that the JSON writer writes, with their names in the output directory.
    pub fn files() -> impl Iterator<Item = (&'static str, Self)> {
        OUTPUTS.iter().filter_map(|output| Some((output.file?, *output)))
    }
}
