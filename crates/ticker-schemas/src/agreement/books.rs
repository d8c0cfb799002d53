//! Order book of one market in all formats.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use ticker_domain::instant::UnixSeconds;

use super::{Compared, UnreadableError, table};

/// Levels of a side: price and amount.
type Side = Vec<[Option<String>; 2]>;

/// Book of a document: the time of its reading in milliseconds, bids and asks.
struct Book {
    millis: Option<i64>,
    sides: [Side; 2],
}

/// Compares a book of a listing format with `/api/v1/markets/{market}/orderbook`. Books that were read from Horizon at
/// different times are not compared: the result has no entries then.
///
/// # Errors
///
/// A document that is not as its schema says.
pub fn book(schema: &'static str, theirs: &[u8], own: &[u8]) -> Result<Compared, UnreadableError> {
    let (theirs, own) = (read(schema, theirs)?, read("orderbook", own)?);
    let mut compared = Compared::default();
    if theirs.millis != own.millis {
        return Ok(compared);
    }
    for (name, (theirs, own)) in ["bids", "asks"].into_iter().zip(theirs.sides.iter().zip(&own.sides)) {
        if theirs.len() != own.len() {
            compared.differs(format!("{name}: {} levels, expected {}", theirs.len(), own.len()));
        }
        for (place, (theirs, own)) in theirs.iter().zip(own).enumerate() {
            compared.entries += 1;
            let ([price, amount], [own_price, own_amount]) = (theirs, own);
            compared.same(&format!("{name}[{place}]: price"), price.as_deref(), own_price.as_deref());
            compared.same(&format!("{name}[{place}]: amount"), amount.as_deref(), own_amount.as_deref());
        }
    }
    Ok(compared)
}

fn read(schema: &'static str, body: &[u8]) -> Result<Book, UnreadableError> {
    let unreadable = |error| UnreadableError::new(schema, error);
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).map_err(unreadable)?;
    let text = |name: &str| fields.get(name).and_then(|value| table::text(value));
    let of_time = text("fetched_at").and_then(|time| UnixSeconds::parse(&time).ok());
    let side = |name: &str| -> Result<Side, UnreadableError> {
        let Some(levels) = fields.get(name) else { return Ok(Vec::new()) };
        let levels: Vec<[Box<RawValue>; 2]> = serde_json::from_str(levels.get()).map_err(unreadable)?;
        Ok(levels.into_iter().map(|level| level.map(|value| table::text(&value))).collect())
    };
    Ok(Book {
        millis: of_time
            .map(|time| time.0.saturating_mul(1_000))
            .or_else(|| text("timestamp").and_then(|millis| millis.parse().ok())),
        sides: [side("bids")?, side("asks")?],
    })
}
