//! Decimal figures in JSON, as strings or as numbers. Never an exponent.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use ticker_domain::{decimal, price::Price, quoted::QuotedPrices, usd::Rate};

/// Price as a decimal string, or null.
pub(super) fn price(price: Option<Price>) -> Option<String> {
    price.and_then(|price| decimal::quotient(price.n().into(), price.d().into()))
}

/// Prices of a set of trades as decimal strings, or nulls.
#[derive(Clone, Default)]
pub(super) struct PriceTexts {
    pub(super) open: Option<String>,
    pub(super) high: Option<String>,
    pub(super) low: Option<String>,
    pub(super) close: Option<String>,
}

impl PriceTexts {
    pub(super) fn of(prices: Option<QuotedPrices>) -> Self {
        let Some(prices) = prices else { return Self::default() };
        let open = price(Some(prices.open));
        // In most sets some price is that of the open, and a division takes longer than a copy.
        let text = |price: Price| {
            if price == prices.open { open.clone() } else { self::price(Some(price)) }
        };
        Self { high: text(prices.high), low: text(prices.low), close: text(prices.close), open }
    }
}

/// Rate as a decimal string, or null.
pub(super) fn rate(rate: Option<Rate>) -> Option<String> {
    rate.and_then(|rate| decimal::quotient(rate.n, rate.d))
}

/// Ratio as a decimal string, or null.
pub(super) fn ratio(ratio: Option<(i128, i128)>) -> Option<String> {
    ratio.and_then(|(n, d)| decimal::quotient(n, d))
}

/// Decimal that is written as a JSON number, with all of its digits.
pub(super) struct Number(pub(super) String);

impl Number {
    /// The figure, or 0 where there is none. Some formats have no other word for "unknown".
    pub(super) fn or_zero(text: Option<String>) -> Self {
        Self(text.unwrap_or_else(|| "0".to_owned()))
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.clone()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}
