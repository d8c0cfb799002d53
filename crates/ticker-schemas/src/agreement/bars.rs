//! Candles of one market in all formats.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};
use ticker_domain::instant::UnixSeconds;

use super::{
    Compared, UnreadableError,
    table::{self, at},
};

/// Candles of the own API by start. The newest is still growing, so it is left out.
fn closed(candles: &[u8]) -> Result<BTreeMap<i64, Value>, UnreadableError> {
    let unreadable = |reason: &dyn std::fmt::Display| UnreadableError::new("candles", reason);
    let document: Value = serde_json::from_slice(candles).map_err(|error| unreadable(&error))?;
    let list = at(&document, "candles").as_array().ok_or_else(|| unreadable(&"it has no list candles"))?;
    let start = |candle: &Value| Some(UnixSeconds::parse(at(candle, "time").as_str()?).ok()?.0);
    let mut candles: BTreeMap<i64, Value> =
        list.iter().filter_map(|candle| Some((start(candle)?, candle.clone()))).collect();
    candles.pop_last();
    Ok(candles)
}

/// Compares `/udf/history` with `/api/v1/markets/{market}/candles` of the same market and length. A candle that only
/// one of them has, at the ends, is not compared: they are not of one moment.
///
/// # Errors
///
/// A document that is not as its schema says.
pub fn udf_history(history: &[u8], candles: &[u8]) -> Result<Compared, UnreadableError> {
    let unreadable = |error| UnreadableError::new("udf-history", error);
    let columns: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(history).map_err(unreadable)?;
    let column = |name: &str| -> Result<Vec<Option<String>>, UnreadableError> {
        let Some(column) = columns.get(name) else { return Ok(Vec::new()) };
        let values: Vec<Box<RawValue>> = serde_json::from_str(column.get()).map_err(unreadable)?;
        Ok(values.iter().map(|value| table::text(value)).collect())
    };
    let times = column("t")?;
    let candles = closed(candles)?;
    let mut compared = Compared::default();
    for name in ["o", "h", "l", "c", "v"] {
        if column(name)?.len() != times.len() {
            compared.differs(format!("{name} has another length than t"));
        }
    }
    for (letter, field) in [("o", "open"), ("h", "high"), ("l", "low"), ("c", "close"), ("v", "base_volume")]
    {
        for (time, figure) in times.iter().zip(column(letter)?) {
            let Some(start) = time.as_deref().and_then(|time| time.parse().ok()) else { continue };
            let Some(candle) = candles.get(&start) else { continue };
            compared.entries += 1;
            compared.same(&format!("bar {start}: {letter}"), figure.as_deref(), at(candle, field).as_str());
        }
    }
    Ok(compared)
}

/// Compares the counts and volumes of `/trade_aggregations` with `/api/v1/markets/{market}/candles` of the same market
/// and length.
///
/// # Errors
///
/// A document that is not as its schema says.
pub fn aggregations(aggregations: &[u8], candles: &[u8]) -> Result<Compared, UnreadableError> {
    let unreadable = |reason: &dyn std::fmt::Display| UnreadableError::new("trade_aggregations", reason);
    let document: Value = serde_json::from_slice(aggregations).map_err(|error| unreadable(&error))?;
    let records = document.pointer("/_embedded/records").and_then(Value::as_array);
    let records = records.ok_or_else(|| unreadable(&"it has no records"))?;
    let candles = closed(candles)?;
    let mut compared = Compared::default();
    for record in records {
        let millis = at(record, "timestamp").as_str().and_then(|text| text.parse::<i64>().ok());
        let Some(start) = millis.map(|millis| millis.div_euclid(1_000)) else { continue };
        let Some(candle) = candles.get(&start) else { continue };
        compared.entries += 1;
        let count = at(candle, "trade_count").as_u64().map(|count| count.to_string());
        for (field, expected) in [
            ("trade_count", count.as_deref()),
            ("base_volume", at(candle, "base_volume").as_str()),
            ("counter_volume", at(candle, "quote_volume").as_str()),
        ] {
            compared.same(&format!("record {start}: {field}"), at(record, field).as_str(), expected);
        }
    }
    Ok(compared)
}
