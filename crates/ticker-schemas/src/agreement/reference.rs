//! The markets of the own API, with which all formats are compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Compared, UnreadableError, table::at};

/// Market of the own API, as texts.
#[derive(Clone, Debug)]
pub struct ReferenceMarket {
    /// `<base>_<quote>`
    pub id: String,
    /// Trades in 24 hours.
    pub trade_count: u64,
    /// True if both assets are valid and it has a price of 24 hours: formats of listing sites have it.
    pub is_listed: bool,
    /// Figures by their names in [`ReferenceMarket::figure`].
    figures: BTreeMap<&'static str, Option<String>>,
}

impl ReferenceMarket {
    /// Figure of the last 24 hours, or a name of the market or of its assets.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<&str> {
        self.figures.get(name)?.as_deref()
    }
}

/// All markets of a view, and the assets that stand for codes.
#[derive(Clone, Debug)]
pub struct Reference {
    markets: Vec<ReferenceMarket>,
    /// Differences within the own documents.
    own: Compared,
}

/// Names of a market's values, and where its document has them.
const VALUES: [(&str, &str); 17] = [
    ("id", "/id"),
    ("pool_id", "/pool_id"),
    ("base", "/base/id"),
    ("quote", "/quote/id"),
    ("base_code", "/base/code"),
    ("quote_code", "/quote/code"),
    ("base_contract", "/base/contract_id"),
    ("quote_contract", "/quote/contract_id"),
    ("last", "/last"),
    ("close", "/windows/24h/close"),
    ("high", "/windows/24h/high"),
    ("low", "/windows/24h/low"),
    ("base_volume", "/windows/24h/base_volume"),
    ("quote_volume", "/windows/24h/quote_volume"),
    ("change_percent", "/windows/24h/change_percent"),
    ("bid", "/bid"),
    ("ask", "/ask"),
];

impl Reference {
    /// Reads `/v1/markets.json`, `/api/v1/symbols` and `/api/v1/assets` of one view.
    ///
    /// # Errors
    ///
    /// A document that is not as its schema says.
    pub fn read(markets: &[u8], symbols: &[u8], assets: &[u8]) -> Result<Self, UnreadableError> {
        let parsed = |document, body| {
            serde_json::from_slice::<Value>(body).map_err(|error| UnreadableError::new(document, error))
        };
        let (markets, symbols, assets) =
            (parsed("markets", markets)?, parsed("symbols", symbols)?, parsed("assets", assets)?);
        let list = |document, value: &Value, field: &str| {
            let list = at(value, field).as_array().cloned();
            list.ok_or_else(|| UnreadableError::new(document, format!("it has no list {field}")))
        };
        let of_code: BTreeMap<String, String> = list("symbols", &symbols, "symbols")?
            .iter()
            .filter_map(|symbol| Some((text(at(symbol, "code"))?, text(at(symbol, "asset"))?)))
            .collect();
        let names: BTreeMap<String, String> = list("assets", &assets, "assets")?
            .iter()
            .filter_map(|asset| Some((text(at(asset, "id"))?, text(at(asset, "name"))?)))
            .collect();
        let mut own = Compared::default();
        let markets: Vec<ReferenceMarket> = list("markets", &markets, "markets")?
            .iter()
            .map(|document| {
                own.entries += 1;
                consistent(document, &mut own);
                market(document, &of_code, &names)
            })
            .collect();
        let ids: BTreeSet<&str> = markets.iter().map(|market| market.id.as_str()).collect();
        if ids.len() != markets.len() {
            own.differs(format!("{} markets have {} different ids", markets.len(), ids.len()));
        }
        Ok(Self { markets, own })
    }

    /// All markets.
    #[must_use]
    pub fn markets(&self) -> &[ReferenceMarket] {
        &self.markets
    }

    /// Listed market with the most trades in 24 hours.
    #[must_use]
    pub fn busiest(&self) -> Option<&ReferenceMarket> {
        self.markets.iter().filter(|market| market.is_listed).max_by_key(|market| market.trade_count)
    }

    /// Differences within the own documents: sums that do not add up, prices outside of their range.
    #[must_use]
    pub const fn own(&self) -> &Compared {
        &self.own
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(ToOwned::to_owned)
}

fn market(
    document: &Value,
    of_code: &BTreeMap<String, String>,
    names: &BTreeMap<String, String>,
) -> ReferenceMarket {
    let value = |pointer: &str| document.pointer(pointer).and_then(text);
    let mut figures: BTreeMap<&'static str, Option<String>> =
        VALUES.into_iter().map(|(name, pointer)| (name, value(pointer))).collect();
    let clean_count = |window: &str| document.pointer(&format!("/windows/{window}/clean_count"))?.as_u64();
    // Of a day of dust alone, formats show the last clean price.
    if clean_count("24h") == Some(0) && clean_count("7d") > Some(0) {
        let last = value("/last");
        figures.extend([("high", last.clone()), ("low", last), ("change_percent", Some("0".to_owned()))]);
    }
    let symbol = |side: &str| {
        let (id, code) = (value(&format!("/{side}/id"))?, value(&format!("/{side}/code"))?);
        Some(if of_code.get(&code) == Some(&id) { code } else { id })
    };
    let name = |side: &str| names.get(&value(&format!("/{side}/id"))?).cloned();
    let pair = |one: &Option<String>, other: &Option<String>| {
        Some(format!("{}_{}", one.as_deref()?, other.as_deref()?))
    };
    let contracts = pair(&value("/base/contract_id"), &value("/quote/contract_id"));
    let (base, quote) = (symbol("base"), symbol("quote"));
    figures.extend([
        ("contracts", contracts),
        ("symbols", pair(&base, &quote)),
        ("base_symbol", base),
        ("quote_symbol", quote),
        ("base_name", name("base")),
        ("quote_name", name("quote")),
    ]);
    let trade_count = document.pointer("/windows/24h/trade_count").and_then(Value::as_u64).unwrap_or(0);
    let is_valid = |side: &str| *at(at(document, side), "valid") == true;
    let has_price = figures.get("close").is_some_and(Option::is_some);
    ReferenceMarket {
        id: value("/id").unwrap_or_default(),
        trade_count,
        is_listed: has_price && is_valid("base") && is_valid("quote"),
        figures,
    }
}

/// Doubles are exact enough to see a price outside of its range, but for the last digit.
const PRINTING_SLACK: f64 = 1e-12;
/// Twice the share by which whole stroops may move the quotient of the amounts of a clean trade.
const AVERAGE_SLACK: f64 = 2e-3;

/// Notes figures of a market that contradict each other.
fn consistent(document: &Value, own: &mut Compared) {
    let id = at(document, "id").as_str().unwrap_or_default();
    for (span, window) in at(document, "windows").as_object().into_iter().flatten() {
        let amount = |field: &str| stroops(at(window, field).as_str().unwrap_or_default());
        for parts in [["buy_volume", "sell_volume"], ["book_volume", "pool_volume"]] {
            let sum = parts.map(amount).into_iter().sum::<Option<i128>>();
            if sum != amount("base_volume") {
                let parts = parts.join(" and ");
                own.differs(format!("{id}: {parts} of {span} do not add up to base_volume"));
            }
        }
        let price = |field: &str| at(window, field).as_str().and_then(|text| text.parse::<f64>().ok());
        let (low, high) = (price("low"), price("high"));
        // A clean trade's amounts are whole stroops, which moves their quotient by up to a thousandth. Amounts of dust
        // may have any quotient.
        let has_clean = at(window, "clean_count").as_i64().is_some_and(|count| count > 0);
        let of_average = has_clean.then_some(("vwap", AVERAGE_SLACK));
        let of_prices = [("open", PRINTING_SLACK), ("close", PRINTING_SLACK)];
        for (field, slack) in of_prices.into_iter().chain(of_average) {
            let outside = |(price, bound): (f64, f64)| price > bound * (1.0 + slack);
            if price(field).zip(high).is_some_and(outside) || low.zip(price(field)).is_some_and(outside) {
                own.differs(format!("{id}: {field} of {span} is not between low and high"));
            }
        }
    }
}

/// Stroops of an amount with seven places.
fn stroops(text: &str) -> Option<i128> {
    let (whole, places) = text.split_once('.')?;
    if places.len() == 7 { format!("{whole}{places}").parse().ok() } else { None }
}
