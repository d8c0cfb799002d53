//! The legacy schema: its types, fields and arguments. Its lists are noted and printed later ([`super::plan`]).

#[cfg(test)]
mod reference;

use std::sync::Arc;

use async_graphql::{
    Context, EmptyMutation, EmptySubscription, Error, InputValueError, InputValueResult, Number, Object,
    Scalar, ScalarType, Schema, SimpleObject, Value,
};

use super::plan::{Listed, Plan, Rows};
use crate::domain::{
    board::{MarketFilter, PairCodes},
    instant::Second,
    window::LONGEST_HOURS,
};

/// Hours where none are asked for.
const HOURS_DEFAULT: i32 = 24;
/// What the old ticker said to a longer window.
const TOO_LONG: &str = "numHoursAgo cannot be greater than 168 (7 days)";
/// What it said to a pair's name of another form.
const NO_PAIR: &str = "could not retrieve the requested data";

/// The schema.
pub(super) type Legacy = Schema<Query, EmptyMutation, EmptySubscription>;

/// Makes the schema. A request needs a [`Plan`] as data, which says afterwards what its lists are.
pub(super) fn legacy() -> Legacy {
    Schema::build(Query, EmptyMutation, EmptySubscription).disable_suggestions().finish()
}

/// A whole number of 64 bits, as a JSON number.
#[derive(Clone, Copy, Debug)]
pub(super) struct BigInt(i64);

#[Scalar]
impl ScalarType for BigInt {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::Number(number) => {
                number.as_i64().map(Self).ok_or_else(|| InputValueError::custom("not of 64 bits"))
            }
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(Number::from(self.0))
    }
}

/// A moment in whole seconds, RFC 3339, such as `2019-05-02T12:23:57Z`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(Second);

#[Scalar]
impl ScalarType for Time {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(Second::parse(&text)?)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339())
    }
}

/// A valid asset.
#[derive(Debug, SimpleObject)]
pub(super) struct Asset {
    code: String,
    issuer_account: String,
    #[graphql(name = "type")]
    kind: String,
    num_accounts: i32,
    auth_required: bool,
    auth_revocable: bool,
    amount: f64,
    asset_controlled_by_domain: bool,
    anchor_asset_code: String,
    anchor_asset_type: String,
    is_asset_anchored: bool,
    display_decimals: BigInt,
    name: String,
    desc: String,
    conditions: String,
    fixed_number: BigInt,
    max_number: BigInt,
    is_unlimited: bool,
    redemption_instructions: String,
    collateral_addresses: String,
    collateral_address_signatures: String,
    countries: String,
    status: String,
    #[graphql(name = "issuerID")]
    issuer_id: i32,
}

/// Who issues a valid asset.
#[derive(Debug, SimpleObject)]
pub(super) struct Issuer {
    public_key: String,
    name: String,
    url: String,
    #[graphql(name = "tomlURL")]
    toml_url: String,
    federation_server: String,
    auth_server: String,
    transfer_server: String,
    web_auth_endpoint: String,
    deposit_server: String,
    org_twitter: String,
}

/// The trades of two issued assets in the window.
#[derive(Debug, SimpleObject)]
pub(super) struct Market {
    trade_pair: String,
    base_asset_code: String,
    base_asset_issuer: String,
    counter_asset_code: String,
    counter_asset_issuer: String,
    base_volume: f64,
    counter_volume: f64,
    trade_count: i32,
    open: f64,
    low: f64,
    high: f64,
    change: f64,
    close: f64,
    interval_start: Time,
    first_ledger_close_time: Time,
    last_ledger_close_time: Time,
    orderbook_stats: OrderbookStats,
}

/// The trades of all issuers of a pair's codes in the window.
#[derive(Debug, SimpleObject)]
pub(super) struct AggregatedMarket {
    trade_pair: String,
    base_volume: f64,
    counter_volume: f64,
    trade_count: i32,
    open: f64,
    low: f64,
    high: f64,
    change: f64,
    close: f64,
    interval_start: Time,
    first_ledger_close_time: Time,
    last_ledger_close_time: Time,
    orderbook_stats: OrderbookStats,
}

/// The order book, or the sum of several.
#[derive(Debug, SimpleObject)]
pub(super) struct OrderbookStats {
    bid_count: BigInt,
    bid_volume: f64,
    bid_max: f64,
    ask_count: BigInt,
    ask_volume: f64,
    ask_min: f64,
    spread: f64,
    spread_mid_point: f64,
}

/// What can be asked.
pub(super) struct Query;

#[Object]
impl Query {
    /// The valid assets, by code and issuer.
    async fn assets(&self, ctx: &Context<'_>) -> Result<Listed<Asset>, Error> {
        note(ctx, Rows::Assets)
    }

    /// The issuers of valid assets, by key; XLM's is `native`.
    async fn issuers(&self, ctx: &Context<'_>) -> Result<Listed<Issuer>, Error> {
        note(ctx, Rows::Issuers)
    }

    /// Markets that traded in the last hours (24 unless asked otherwise, 168 at most); filters are exact.
    async fn markets(
        &self,
        ctx: &Context<'_>,
        base_asset_code: Option<String>,
        base_asset_issuer: Option<String>,
        counter_asset_code: Option<String>,
        counter_asset_issuer: Option<String>,
        num_hours_ago: Option<i32>,
    ) -> Result<Listed<Option<Market>>, Error> {
        let hours = hours(num_hours_ago)?;
        let filter = MarketFilter {
            base_code: base_asset_code,
            base_issuer: base_asset_issuer,
            counter_code: counter_asset_code,
            counter_issuer: counter_asset_issuer,
        };
        note(ctx, Rows::Markets(filter, hours))
    }

    /// Pairs that traded in the last hours (24 unless asked otherwise, 168 at most), all or that of two codes (`A_B`).
    async fn ticker(
        &self,
        ctx: &Context<'_>,
        pair_name: Option<String>,
        num_hours_ago: Option<i32>,
    ) -> Result<Listed<Option<AggregatedMarket>>, Error> {
        let hours = hours(num_hours_ago)?;
        let codes = pair_name.map(|name| PairCodes::parse(&name).ok_or_else(|| Error::new(NO_PAIR)));
        note(ctx, Rows::Pairs(codes.transpose()?, hours))
    }
}

fn note<T>(ctx: &Context<'_>, rows: Rows) -> Result<Listed<T>, Error> {
    Ok(ctx.data::<Arc<Plan>>()?.note(ctx, rows))
}

fn hours(asked: Option<i32>) -> Result<i64, Error> {
    let hours = i64::from(asked.unwrap_or(HOURS_DEFAULT));
    if hours > LONGEST_HOURS { Err(Error::new(TOO_LONG)) } else { Ok(hours) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_is_the_old_tickers() {
        insta::assert_snapshot!(super::legacy().sdl());
    }
}
