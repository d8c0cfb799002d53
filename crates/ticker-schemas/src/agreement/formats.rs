//! Formats of listing sites against the own markets.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Compared, Reference, UnreadableError,
    table::{self, Entry},
};

/// Spelling of assets in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdStyle {
    /// `XLM` and `CODE-ISSUER`.
    Classic,
    /// `C…`, the Soroban contract.
    Contract,
}

/// Format of all listed markets.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Name of its schema.
    pub schema: &'static str,
    /// Last part of its path.
    pub path: &'static str,
    /// Field that names the market, or the keys of an object.
    key: Key,
    /// Figure that the key equals.
    named_by: &'static str,
    /// Fields, and the figures of [`super::ReferenceMarket`] that they equal.
    fields: &'static [(&'static str, &'static str)],
    /// True if an unknown figure is 0. Otherwise it is null or absent.
    zero_is_unknown: bool,
}

#[derive(Clone, Copy, Debug)]
enum Key {
    Field(&'static str),
    Object,
}

impl Format {
    /// All formats of listed markets.
    pub const ALL: [Self; 6] = [
        Self {
            schema: "ccxt-tickers",
            path: "ccxt/tickers",
            key: Key::Field("id"),
            named_by: "id",
            fields: &[
                ("close", "last"),
                ("last", "last"),
                ("high", "high"),
                ("low", "low"),
                ("bid", "bid"),
                ("ask", "ask"),
                ("percentage", "change_percent"),
                ("baseVolume", "base_volume"),
                ("quoteVolume", "quote_volume"),
            ],
            zero_is_unknown: false,
        },
        Self {
            schema: "coingecko-pairs",
            path: "coingecko/pairs",
            key: Key::Field("ticker_id"),
            named_by: "id",
            fields: &[("base", "base"), ("target", "quote"), ("pool_id", "pool_id")],
            zero_is_unknown: false,
        },
        Self {
            schema: "coingecko-tickers",
            path: "coingecko/tickers",
            key: Key::Field("ticker_id"),
            named_by: "id",
            fields: &[
                ("base_currency", "base"),
                ("target_currency", "quote"),
                ("pool_id", "pool_id"),
                ("last_price", "last"),
                ("base_volume", "base_volume"),
                ("target_volume", "quote_volume"),
                ("high", "high"),
                ("low", "low"),
                ("bid", "bid"),
                ("ask", "ask"),
            ],
            zero_is_unknown: false,
        },
        Self {
            schema: "coinmarketcap-summary",
            path: "coinmarketcap/summary",
            key: Key::Field("trading_pairs"),
            named_by: "symbols",
            fields: &[
                ("base_currency", "base_symbol"),
                ("quote_currency", "quote_symbol"),
                ("last_price", "last"),
                ("lowest_ask", "ask"),
                ("highest_bid", "bid"),
                ("base_volume", "base_volume"),
                ("quote_volume", "quote_volume"),
                ("price_change_percent_24h", "change_percent"),
                ("highest_price_24h", "high"),
                ("lowest_price_24h", "low"),
            ],
            zero_is_unknown: true,
        },
        Self {
            schema: "coinmarketcap-ticker",
            path: "coinmarketcap/ticker",
            key: Key::Object,
            named_by: "symbols",
            fields: &[
                ("last_price", "last"),
                ("base_volume", "base_volume"),
                ("quote_volume", "quote_volume"),
            ],
            zero_is_unknown: true,
        },
        Self {
            schema: "coinmarketcap-dex",
            path: "coinmarketcap/dex",
            key: Key::Object,
            named_by: "id",
            fields: &[
                ("base_id", "base"),
                ("quote_id", "quote"),
                ("base_name", "base_name"),
                ("quote_name", "quote_name"),
                ("base_symbol", "base_code"),
                ("quote_symbol", "quote_code"),
                ("last_price", "last"),
                ("base_volume", "base_volume"),
                ("quote_volume", "quote_volume"),
            ],
            zero_is_unknown: false,
        },
    ];

    /// Name of the site that reads it: the first part of its path.
    #[must_use]
    pub fn family(&self) -> &'static str {
        self.path.split('/').next().unwrap_or_default()
    }

    fn entries(&self, body: &[u8]) -> Result<Vec<(String, Entry)>, UnreadableError> {
        let Key::Field(field) = self.key else {
            return Ok(table::map(self.schema, body)?.into_iter().collect());
        };
        let named = |entry: Entry| (entry.get(field).cloned().flatten().unwrap_or_default(), entry);
        Ok(table::list(self.schema, body)?.into_iter().map(named).collect())
    }
}

impl IdStyle {
    /// Name of the figure that takes the place of `classic` in this style.
    fn figure(self, classic: &'static str) -> &'static str {
        match (self, classic) {
            (Self::Contract, "id" | "symbols") => "contracts",
            (Self::Contract, "base" | "base_symbol") => "base_contract",
            (Self::Contract, "quote" | "quote_symbol") => "quote_contract",
            (_, other) => other,
        }
    }
}

impl Reference {
    /// Compares a document of all listed markets with the own markets of the same view.
    ///
    /// # Errors
    ///
    /// A document that is not as its schema says.
    pub fn compare(&self, format: &Format, style: IdStyle, body: &[u8]) -> Result<Compared, UnreadableError> {
        let entries = format.entries(body)?;
        let mut compared = Compared { entries: entries.len(), ..Compared::default() };
        let mut found: BTreeMap<String, Entry> = BTreeMap::new();
        for (name, entry) in entries {
            if found.insert(name.clone(), entry).is_some() {
                compared.differs(format!("{name} occurs twice"));
            }
        }
        for market in self.markets().iter().filter(|market| market.is_listed) {
            let name = market.figure(style.figure(format.named_by)).unwrap_or_default();
            let Some(entry) = found.remove(name) else {
                compared.differs(format!("{name} is missing"));
                continue;
            };
            for (theirs, ours) in format.fields {
                let expected = market.figure(style.figure(ours));
                let expected = expected.or(format.zero_is_unknown.then_some("0"));
                let figure = entry.get(*theirs).and_then(Option::as_deref);
                compared.same(&format!("{name}: {theirs}"), figure, expected);
            }
        }
        for name in found.keys() {
            compared.differs(format!("{name} is not a listed market of /v1/markets.json"));
        }
        Ok(compared)
    }

    /// Compares CoinMarketCap's `assets` with the assets of the listed markets.
    ///
    /// # Errors
    ///
    /// A document that is not as its schema says.
    pub fn compare_assets(&self, style: IdStyle, body: &[u8]) -> Result<Compared, UnreadableError> {
        let mut found = table::map("coinmarketcap-assets", body)?;
        let mut compared = Compared { entries: found.len(), ..Compared::default() };
        let mut seen = BTreeSet::new();
        for market in self.markets().iter().filter(|market| market.is_listed) {
            for [symbol, name, contract] in [
                ["base_symbol", "base_name", "base_contract"],
                ["quote_symbol", "quote_name", "quote_contract"],
            ] {
                let symbol = market.figure(style.figure(symbol)).unwrap_or_default();
                if !seen.insert(symbol) {
                    continue;
                }
                let Some(entry) = found.remove(symbol) else {
                    compared.differs(format!("{symbol} is missing"));
                    continue;
                };
                for (theirs, ours) in [("name", name), ("contractAddress", contract)] {
                    let figure = entry.get(theirs).and_then(Option::as_deref);
                    compared.same(&format!("{symbol}: {theirs}"), figure, market.figure(ours));
                }
            }
        }
        for symbol in found.keys() {
            compared.differs(format!("{symbol} is not an asset of a listed market"));
        }
        Ok(compared)
    }
}
