//! Trade records of streams and pages.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use super::{HorizonError, OptionalText, page_records, text_or_number};
use crate::domain::{
    amount::Amount,
    asset::{AccountId, Asset, AssetError},
    cursor::{PagingToken, PagingTokenError},
    instant::UnixSeconds,
    trade::{PoolId, Side, Trade, TradeError, TradeRecord},
};

/// Record that is not a valid trade. The quarantine stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Paging token, if it could be parsed.
    pub token: Option<PagingToken>,
    /// Reason why the record is refused.
    pub reason: String,
    /// Record as received.
    pub raw: Bytes,
}

/// Trade and the bytes it was received in.
#[derive(Clone, Debug)]
pub struct ReceivedTrade {
    /// Valid trade.
    pub trade: Trade,
    /// Record as received.
    pub raw: Bytes,
}

#[derive(Deserialize)]
struct TradeToken<'a> {
    #[serde(borrow)]
    paging_token: OptionalText<'a>,
}

#[derive(Deserialize)]
struct WireTrade<'a> {
    #[serde(borrow)]
    paging_token: Cow<'a, str>,
    #[serde(borrow)]
    ledger_close_time: Cow<'a, str>,
    #[serde(borrow)]
    base_amount: Cow<'a, str>,
    #[serde(borrow)]
    base_asset_type: Cow<'a, str>,
    #[serde(borrow)]
    base_asset_code: OptionalText<'a>,
    #[serde(borrow)]
    base_asset_issuer: OptionalText<'a>,
    #[serde(borrow)]
    base_account: OptionalText<'a>,
    #[serde(borrow)]
    base_liquidity_pool_id: OptionalText<'a>,
    #[serde(borrow)]
    counter_amount: Cow<'a, str>,
    #[serde(borrow)]
    counter_asset_type: Cow<'a, str>,
    #[serde(borrow)]
    counter_asset_code: OptionalText<'a>,
    #[serde(borrow)]
    counter_asset_issuer: OptionalText<'a>,
    #[serde(borrow)]
    counter_account: OptionalText<'a>,
    #[serde(borrow)]
    counter_liquidity_pool_id: OptionalText<'a>,
    base_is_seller: bool,
    price: WirePrice,
}

#[derive(Deserialize)]
pub(super) struct WirePrice {
    #[serde(deserialize_with = "text_or_number")]
    pub(super) n: i64,
    #[serde(deserialize_with = "text_or_number")]
    pub(super) d: i64,
}

/// Parses one trade record. `event_id` is the id of its stream event, the fallback for the record's paging token.
pub fn trade(raw: Bytes, event_id: Option<&str>) -> Result<ReceivedTrade, RecordError> {
    match read_trade(&raw) {
        Ok(trade) => Ok(ReceivedTrade { trade, raw }),
        Err(reason) => {
            // An invalid record may still have a valid token, which tells where to continue.
            let token = serde_json::from_slice::<TradeToken<'_>>(&raw)
                .ok()
                .and_then(|record| record.paging_token?.parse().ok())
                .or_else(|| event_id.and_then(|id| id.parse().ok()));
            Err(RecordError { token, reason, raw })
        }
    }
}

fn read_trade(raw: &[u8]) -> Result<Trade, String> {
    let wire: WireTrade<'_> = serde_json::from_slice(raw).map_err(|error| error.to_string())?;
    let base = side(
        asset(&wire.base_asset_type, &wire.base_asset_code, &wire.base_asset_issuer),
        &wire.base_amount,
        &wire.base_account,
        &wire.base_liquidity_pool_id,
    );
    let counter = side(
        asset(&wire.counter_asset_type, &wire.counter_asset_code, &wire.counter_asset_issuer),
        &wire.counter_amount,
        &wire.counter_account,
        &wire.counter_liquidity_pool_id,
    );
    let reason = |error: TradeError| error.to_string();
    let record = TradeRecord {
        token: wire.paging_token.parse().map_err(|error: PagingTokenError| error.to_string())?,
        closed_at: UnixSeconds::parse(&wire.ledger_close_time).map_err(|error| error.to_string())?,
        base: base.map_err(reason)?,
        counter: counter.map_err(reason)?,
        price_n: wire.price.n,
        price_d: wire.price.d,
        base_is_seller: wire.base_is_seller,
    };
    record.normalise().map_err(reason)
}

fn side(
    asset: Result<Asset, AssetError>,
    amount: &str,
    account: &OptionalText<'_>,
    pool: &OptionalText<'_>,
) -> Result<Side, TradeError> {
    Ok(Side {
        asset: asset?,
        amount: Amount::parse(amount)?,
        account: present(account).map(AccountId::parse).transpose()?,
        pool: present(pool).map(PoolId::parse).transpose()?,
    })
}

fn asset(kind: &str, code: &OptionalText<'_>, issuer: &OptionalText<'_>) -> Result<Asset, AssetError> {
    match kind {
        "native" => Ok(Asset::Native),
        _ => Asset::issued(code.as_deref().unwrap_or_default(), issuer.as_deref().unwrap_or_default()),
    }
}

fn present<'a>(field: &'a OptionalText<'_>) -> Option<&'a str> {
    field.as_deref().filter(|text| !text.is_empty())
}

/// Parses a page of trades, in the order of the page.
///
/// Bytes that are not UTF-8 are replaced, as on a stream: a record that has some must not spoil the whole page.
pub fn trades_page(body: &Bytes) -> Result<Vec<Result<ReceivedTrade, RecordError>>, HorizonError> {
    let body = match String::from_utf8_lossy(body) {
        Cow::Borrowed(_) => body,
        Cow::Owned(replaced) => &Bytes::from(replaced),
    };
    let records = page_records(body)?;
    Ok(records.iter().map(|record| trade(body.slice_ref(record.get().as_bytes()), None)).collect())
}
