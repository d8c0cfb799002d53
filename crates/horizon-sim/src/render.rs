//! Trade records as JSON, written by hand into a reused buffer: tens of thousands per second on one core.

use super::asset_json::AssetJson;
use super::generator::{RawTrade, SYNTHETIC_OFFERS};
use super::protocol::POOL_FEE_BP;
use std::io::Write;

/// Properties shared by all records of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    /// Scheme and host for links.
    pub(crate) origin: &'a str,
    /// True for records of an old server.
    pub(crate) is_legacy: bool,
}

/// Stroops in Horizon's notation.
pub(crate) fn amount(stroops: i64) -> String {
    format!("{}.{:07}", stroops / 10_000_000, stroops % 10_000_000)
}

/// Appends one record. Writing to a Vec never fails.
pub(crate) fn trade(out: &mut Vec<u8>, raw: &RawTrade<'_>, closed_at: &str, shape: Shape<'_>) {
    let _ = write_trade(out, raw, closed_at, shape);
}

fn write_trade(
    out: &mut Vec<u8>,
    raw: &RawTrade<'_>,
    closed_at: &str,
    shape: Shape<'_>,
) -> std::io::Result<()> {
    let Shape { origin, is_legacy } = shape;
    let id = raw.id;
    let (base, counter) = (Side::new(raw, true), Side::new(raw, false));
    write!(
        out,
        r#"{{"_links":{{"self":{{"href":""}},"base":{{"href":"{origin}/{}/{}"}}"#,
        base.path, base.owner
    )?;
    write!(out, r#","counter":{{"href":"{origin}/{}/{}"}}"#, counter.path, counter.owner)?;
    write!(out, r#","operation":{{"href":"{origin}/operations/{}"}}}},"id":"{id}""#, id.toid)?;
    write!(out, r#","paging_token":"{id}","ledger_close_time":"{closed_at}""#)?;
    if is_legacy {
        write!(out, r#","offer_id":"{}""#, raw.maker_offer)?;
    } else if raw.is_pool {
        write!(out, r#","trade_type":"liquidity_pool","liquidity_pool_fee_bp":{POOL_FEE_BP}"#)?;
    } else {
        out.extend_from_slice(br#","trade_type":"orderbook""#);
    }
    base.write(out, "base", raw.base_amount, &raw.market.base_json)?;
    counter.write(out, "counter", raw.counter_amount, &raw.market.counter_json)?;
    let quote = if is_legacy { "" } else { "\"" };
    write!(
        out,
        r#","base_is_seller":{},"price":{{"n":{quote}{}{quote},"d":{quote}{}{quote}}}}}"#,
        raw.base_is_seller, raw.price_n, raw.price_d
    )
}

/// Party of one side.
struct Side<'a> {
    path: &'static str,
    owner: &'a str,
    /// Offer id, or `None` for a pool.
    offer: Option<i64>,
}

impl<'a> Side<'a> {
    fn new(raw: &RawTrade<'a>, is_base: bool) -> Self {
        let seller = is_base == raw.base_is_seller;
        match (seller, raw.is_pool) {
            (true, true) => Self { path: "liquidity_pools", owner: &raw.market.pool, offer: None },
            (true, false) => Self { path: "accounts", owner: raw.maker, offer: Some(raw.maker_offer) },
            (false, _) => {
                Self { path: "accounts", owner: raw.taker, offer: Some(SYNTHETIC_OFFERS | raw.id.toid) }
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>, name: &str, stroops: i64, asset: &AssetJson) -> std::io::Result<()> {
        let owner = self.owner;
        match self.offer {
            Some(offer) => write!(out, r#","{name}_offer_id":"{offer}","{name}_account":"{owner}""#)?,
            None => write!(out, r#","{name}_liquidity_pool_id":"{owner}""#)?,
        }
        let (whole, part) = (stroops / 10_000_000, stroops % 10_000_000);
        write!(out, r#","{name}_amount":"{whole}.{part:07}",{}"#, asset.0)
    }
}
