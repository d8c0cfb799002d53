//! The legacy schema: its types, fields and arguments, answered from the board of one publication.

use std::{collections::BTreeMap, sync::Arc};

use async_graphql::{
    Context, EmptyMutation, EmptySubscription, Error, InputValueError, InputValueResult, Number, Object,
    Scalar, ScalarType, Schema, SimpleObject, Value,
};

use crate::{
    domain::{
        amount::STROOPS_PER_UNIT,
        board::{Board, MarketFilter, MarketRow, PairCodes, TickerRow},
        instant::Second,
        listed_asset::ListedAsset,
        number::ratio_to_f64,
        orderbook::BookFigures,
        summary::Summary,
        ticker::LegacyFigures,
        window::LONGEST_HOURS,
    },
    published::Publication,
};

/// Hours where none are asked for.
const HOURS_DEFAULT: i32 = 24;
/// What the old ticker said to a longer window.
const TOO_LONG: &str = "numHoursAgo cannot be greater than 168 (7 days)";
/// What it said to a pair's name of another form.
const NO_PAIR: &str = "could not retrieve the requested data";

/// The schema.
pub(super) type Legacy = Schema<Query, EmptyMutation, EmptySubscription>;

/// Makes the schema. Whoever executes a request gives it the publication as data.
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
    async fn assets(&self, ctx: &Context<'_>) -> Result<Vec<Asset>, Error> {
        Ok(board(ctx)?.assets().iter().map(|asset| Asset::from(asset.as_ref())).collect())
    }

    /// The issuers of valid assets, by key; XLM's is `native`.
    async fn issuers(&self, ctx: &Context<'_>) -> Result<Vec<Issuer>, Error> {
        let assets = board(ctx)?.assets();
        let by_key: BTreeMap<&str, &ListedAsset> =
            assets.iter().map(|asset| (asset.issuer(), asset.as_ref())).collect();
        Ok(by_key.into_values().map(Issuer::from).collect())
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
    ) -> Result<Vec<Option<Market>>, Error> {
        let (board, hours) = (board(ctx)?, hours(num_hours_ago)?);
        let filter = MarketFilter {
            base_code: base_asset_code,
            base_issuer: base_asset_issuer,
            counter_code: counter_asset_code,
            counter_issuer: counter_asset_issuer,
        };
        let since = board.since(hours);
        Ok(board.markets(&filter, hours).iter().map(|row| Some(Market::of(row, since))).collect())
    }

    /// Pairs that traded in the last hours (24 unless asked otherwise, 168 at most), all or that of two codes (`A_B`).
    async fn ticker(
        &self,
        ctx: &Context<'_>,
        pair_name: Option<String>,
        num_hours_ago: Option<i32>,
    ) -> Result<Vec<Option<AggregatedMarket>>, Error> {
        let (board, hours) = (board(ctx)?, hours(num_hours_ago)?);
        let rows = match pair_name {
            None => board.tickers(hours),
            Some(name) => {
                let codes = PairCodes::parse(&name).ok_or_else(|| Error::new(NO_PAIR))?;
                board.tickers_of(&codes, hours)
            }
        };
        let since = board.since(hours);
        Ok(rows.into_iter().map(|row| Some(AggregatedMarket::of(row, since))).collect())
    }
}

fn board<'a>(ctx: &Context<'a>) -> Result<&'a Board, Error> {
    Ok(&ctx.data::<Arc<Publication>>()?.board)
}

fn hours(asked: Option<i32>) -> Result<i64, Error> {
    let hours = i64::from(asked.unwrap_or(HOURS_DEFAULT));
    if hours > LONGEST_HOURS { Err(Error::new(TOO_LONG)) } else { Ok(hours) }
}

fn count(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn times(summary: &Summary) -> (Time, Time) {
    let (first, last) = summary.times.unwrap_or_default();
    (Time(first), Time(last))
}

impl Market {
    fn of(row: &MarketRow<'_>, since: Second) -> Self {
        let figures = LegacyFigures::from(&row.summary);
        let (first, last) = times(&row.summary);
        Self {
            trade_pair: row.name(),
            base_asset_code: row.base.code().to_owned(),
            base_asset_issuer: row.base.issuer().to_owned(),
            counter_asset_code: row.counter.code().to_owned(),
            counter_asset_issuer: row.counter.issuer().to_owned(),
            base_volume: figures.base_volume,
            counter_volume: figures.counter_volume,
            trade_count: count(figures.trade_count),
            open: figures.open,
            low: figures.low,
            high: figures.high,
            change: figures.close - figures.open,
            close: figures.close,
            interval_start: Time(since),
            first_ledger_close_time: first,
            last_ledger_close_time: last,
            orderbook_stats: OrderbookStats::from(&row.book),
        }
    }
}

impl AggregatedMarket {
    fn of(row: TickerRow, since: Second) -> Self {
        let figures = LegacyFigures::from(&row.summary);
        let (first, last) = times(&row.summary);
        Self {
            trade_pair: row.name,
            base_volume: figures.base_volume,
            counter_volume: figures.counter_volume,
            trade_count: count(figures.trade_count),
            open: figures.open,
            low: figures.low,
            high: figures.high,
            change: figures.close - figures.open,
            close: figures.close,
            interval_start: Time(since),
            first_ledger_close_time: first,
            last_ledger_close_time: last,
            orderbook_stats: OrderbookStats::from(&row.book),
        }
    }
}

impl From<&BookFigures> for OrderbookStats {
    fn from(book: &BookFigures) -> Self {
        let levels = |count: u64| BigInt(i64::try_from(count).unwrap_or(i64::MAX));
        let (spread, spread_mid_point) = book.spread();
        Self {
            bid_count: levels(book.bid_count),
            bid_volume: book.bid_volume,
            bid_max: book.bid_max,
            ask_count: levels(book.ask_count),
            ask_volume: book.ask_volume,
            ask_min: book.ask_min,
            spread,
            spread_mid_point,
        }
    }
}

impl From<&ListedAsset> for Asset {
    fn from(asset: &ListedAsset) -> Self {
        let told = &asset.currency;
        Self {
            code: told.code.clone(),
            issuer_account: told.issuer.clone(),
            kind: asset.kind.clone(),
            num_accounts: i32::try_from(asset.num_accounts).unwrap_or(i32::MAX),
            auth_required: asset.auth_required,
            auth_revocable: asset.auth_revocable,
            amount: ratio_to_f64(asset.amount.stroops(), STROOPS_PER_UNIT),
            asset_controlled_by_domain: asset.is_controlled_by_domain,
            anchor_asset_code: told.anchor_asset.clone(),
            anchor_asset_type: told.anchor_asset_type.clone(),
            is_asset_anchored: told.is_asset_anchored,
            display_decimals: BigInt(told.display_decimals),
            name: told.name.clone(),
            desc: told.desc.clone(),
            conditions: told.conditions.clone(),
            fixed_number: BigInt(told.fixed_number),
            max_number: BigInt(told.max_number),
            is_unlimited: told.is_unlimited,
            redemption_instructions: told.redemption_instructions.clone(),
            collateral_addresses: told.collateral_addresses.join(","),
            collateral_address_signatures: told.collateral_address_signatures.join(","),
            countries: String::new(), // always empty in the old answers
            status: told.status.clone(),
            issuer_id: asset.issuer_id,
        }
    }
}

impl From<&ListedAsset> for Issuer {
    fn from(asset: &ListedAsset) -> Self {
        let org = &asset.issuer;
        Self {
            public_key: asset.issuer().to_owned(),
            name: org.name.clone(),
            url: org.url.clone(),
            toml_url: asset.toml_url.clone(),
            federation_server: org.federation_server.clone(),
            auth_server: org.auth_server.clone(),
            transfer_server: org.transfer_server.clone(),
            web_auth_endpoint: org.web_auth_endpoint.clone(),
            deposit_server: org.deposit_server.clone(),
            org_twitter: org.twitter.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_is_the_old_tickers() {
        insta::assert_snapshot!(super::legacy().sdl());
    }
}
