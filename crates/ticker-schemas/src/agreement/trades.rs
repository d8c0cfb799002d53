//! Trades of one market in all formats.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};

use super::{
    Compared, UnreadableError,
    table::{self, Entry},
};

/// Fields of a trade: in the own format, at CoinGecko, at CoinMarketCap.
const FIELDS: [[&str; 3]; 4] = [
    ["price", "price", "price"],
    ["base_amount", "base_volume", "base_volume"],
    ["quote_amount", "target_volume", "quote_volume"],
    ["type", "type", "type"],
];

/// Trades by number.
type Trades = BTreeMap<u64, Entry>;

/// Compares the trades of one market: `/api/v1/markets/{market}/trades`, CoinGecko's and CoinMarketCap's.
///
/// The three are not of one moment. Trades are compared between the newest first and the oldest last number.
///
/// # Errors
///
/// A document that is not as its schema says.
pub fn trades(own: &[u8], coingecko: &[u8], coinmarketcap: &[u8]) -> Result<Compared, UnreadableError> {
    let own = numbered(lists("trades", own, &["trades"])?, "id");
    let of_gecko = numbered(lists("coingecko-historical_trades", coingecko, &["buy", "sell"])?, "trade_id");
    let of_cap = numbered(table::list("coinmarketcap-trades", coinmarketcap)?, "trade_id");
    let mut compared = Compared::default();
    // Trades that set no price are in the own format only.
    let priced: Trades =
        own.into_iter().filter(|(_, trade)| trade.get("price").is_some_and(Option::is_some)).collect();
    for (place, (name, theirs)) in [(1, ("CoinGecko", of_gecko)), (2, ("CoinMarketCap", of_cap))] {
        let ends = |trades: &Trades| Some((*trades.first_key_value()?.0, *trades.last_key_value()?.0));
        let (Some(ours), Some(ends)) = (ends(&priced), ends(&theirs)) else { continue };
        let range = ours.0.max(ends.0)..=ours.1.min(ends.1);
        for (number, trade) in priced.iter().filter(|(number, _)| range.contains(number)) {
            compared.entries += 1;
            let Some(other) = theirs.get(number) else {
                compared.differs(format!("trade {number} is missing at {name}"));
                continue;
            };
            for fields in FIELDS {
                let [ours, ..] = fields;
                let Some(field) = fields.get(place) else { continue };
                let figure = other.get(*field).and_then(Option::as_deref);
                let expected = trade.get(ours).and_then(Option::as_deref);
                compared.same(&format!("{name}, trade {number}: {field}"), figure, expected);
            }
        }
        for number in theirs.keys().filter(|number| range.contains(number) && !priced.contains_key(number)) {
            compared.differs(format!("trade {number} of {name} is not in the own format"));
        }
    }
    Ok(compared)
}

/// Entries of an object's lists.
fn lists(document: &'static str, body: &[u8], fields: &[&str]) -> Result<Vec<Entry>, UnreadableError> {
    let object: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(body).map_err(|error| UnreadableError::new(document, error))?;
    let mut entries = Vec::new();
    for field in fields {
        let Some(list) = object.get(*field) else { continue };
        entries.extend(table::list(document, list.get().as_bytes())?);
    }
    Ok(entries)
}

fn numbered(entries: Vec<Entry>, field: &str) -> Trades {
    let number = |entry: &Entry| {
        let text = entry.get(field)?.as_deref()?;
        serde_json::from_str::<Value>(text).ok()?.as_u64()
    };
    entries.into_iter().filter_map(|entry| Some((number(&entry)?, entry))).collect()
}
