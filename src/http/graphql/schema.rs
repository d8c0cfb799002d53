//! The legacy schema: types, fields and arguments. Clients see their doc comments and `desc` as descriptions.
//!
//! The resolvers of lists only record them. They are printed later; see [`super::plan`].

mod market_data;
#[cfg(test)]
mod reference;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use async_graphql::{
    Context, EmptyMutation, EmptySubscription, Error, InputValueError, InputValueResult, Number, Object,
    Scalar, ScalarType, Schema, SimpleObject, Value,
};

use self::market_data::{Candle, Trade, TradeOrder};
use super::plan::{ListMark, Plan, Rows};
use crate::domain::{
    instant::UnixSeconds,
    market_snapshot::{MarketFilter, PairCodes},
    window::LONGEST_HOURS,
};

/// Default of `numHoursAgo`.
const HOURS_DEFAULT: i32 = 24;
/// Error of the old ticker for a longer window.
const TOO_LONG: &str = "numHoursAgo cannot be greater than 168 (7 days)";
/// Error of the old ticker for an invalid name of a pair.
const NO_PAIR: &str = "could not retrieve the requested data";

/// The legacy schema.
pub(super) type Legacy = Schema<Query, EmptyMutation, EmptySubscription>;

/// Returns the schema. A request needs a [`Plan`] as data, which holds its lists after the execution.
pub(super) fn legacy() -> Legacy {
    Schema::build(Query, EmptyMutation, EmptySubscription).disable_suggestions().finish()
}

/// A whole number of 64 bits, as a JSON number.
#[derive(Clone, Copy, Debug)]
pub(super) struct BigInt(i64);

/// A whole number of 64 bits, as a JSON number.
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

/// A moment in UTC, in whole seconds: RFC 3339, such as `2019-05-02T12:23:57Z`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(UnixSeconds);

/// A moment in UTC, in whole seconds: RFC 3339, such as `2019-05-02T12:23:57Z`.
#[Scalar]
impl ScalarType for Time {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(UnixSeconds::parse(&text)?)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339())
    }
}

/// A valid asset.
#[derive(Debug, SimpleObject)]
#[graphql(name = "Asset")]
pub(super) struct AssetObject {
    /// Code: 1 to 12 letters and digits.
    code: String,
    /// Account that issues it; `native` for XLM.
    issuer_account: String,
    /// `native`, `credit_alphanum4` or `credit_alphanum12`.
    #[graphql(name = "type")]
    kind: String,
    /// Authorised accounts that hold it; 0 for XLM.
    num_accounts: i32,
    /// True if holders need the issuer's approval.
    auth_required: bool,
    /// True if the issuer can take the approval back.
    auth_revocable: bool,
    /// Units that authorised accounts hold; 0 for XLM.
    amount: f64,
    /// True if the stellar.toml lists this asset and its organisation's URL is on the file's domain.
    asset_controlled_by_domain: bool,
    /// Code of what it stands for; empty if none. Pairs are named after it.
    anchor_asset_code: String,
    /// Kind of what it stands for, such as `fiat` or `crypto`, in lower case.
    anchor_asset_type: String,
    /// True if it stands for something else.
    is_asset_anchored: bool,
    /// Decimal places that wallets should show; 0: not stated.
    display_decimals: BigInt,
    /// Name for people, as the stellar.toml says.
    name: String,
    /// Description for people, as the stellar.toml says.
    desc: String,
    /// Conditions of holding it.
    conditions: String,
    /// Units that will ever exist; 0: not stated.
    fixed_number: BigInt,
    /// Units that may exist at most; 0: not stated.
    max_number: BigInt,
    /// True if the issuer may issue any number.
    is_unlimited: bool,
    /// Instructions for redeeming it.
    redemption_instructions: String,
    /// Addresses of the collateral, joined by commas.
    collateral_addresses: String,
    /// Signatures of the collateral addresses, joined by commas.
    collateral_address_signatures: String,
    /// Always empty.
    countries: String,
    /// `live`, `test`, `dead`, `private`, or what else the stellar.toml says.
    status: String,
    /// Number of the issuer in this ticker's database; another database has others.
    #[graphql(name = "issuerID")]
    issuer_id: i32,
}

/// The issuer of a valid asset, as its stellar.toml describes it.
#[derive(Debug, SimpleObject)]
#[graphql(name = "Issuer")]
pub(super) struct IssuerObject {
    /// Account of the issuer; `native` for XLM.
    public_key: String,
    /// ORG_NAME of the stellar.toml.
    name: String,
    /// ORG_URL of the stellar.toml.
    url: String,
    /// URL of the stellar.toml.
    #[graphql(name = "tomlURL")]
    toml_url: String,
    /// FEDERATION_SERVER of the stellar.toml.
    federation_server: String,
    /// AUTH_SERVER of the stellar.toml.
    auth_server: String,
    /// TRANSFER_SERVER of the stellar.toml.
    transfer_server: String,
    /// WEB_AUTH_ENDPOINT of the stellar.toml.
    web_auth_endpoint: String,
    /// DEPOSIT_SERVER of the stellar.toml.
    deposit_server: String,
    /// ORG_TWITTER of the stellar.toml.
    org_twitter: String,
}

/// The trades of one market, two assets with one issuer each, in the window.
#[derive(Debug, SimpleObject)]
#[graphql(name = "Market")]
pub(super) struct MarketObject {
    /// `CODE:ISSUER / CODE:ISSUER`, base first.
    trade_pair: String,
    /// Code of the base.
    base_asset_code: String,
    /// Issuer of the base; `native` for XLM.
    base_asset_issuer: String,
    /// Code of the counter.
    counter_asset_code: String,
    /// Issuer of the counter.
    counter_asset_issuer: String,
    /// Units of the base traded in the window.
    base_volume: f64,
    /// Units of the counter traded in the window.
    counter_volume: f64,
    /// Trades in the window.
    trade_count: i32,
    /// First price of the window, in base per counter.
    open: f64,
    /// Lowest price of the window, in base per counter.
    low: f64,
    /// Highest price of the window, in base per counter.
    high: f64,
    /// `close - open`, in base per counter; not a percentage.
    change: f64,
    /// Last price of the window, in base per counter: `19.4` means that 1 of the counter buys 19.4 of the base.
    close: f64,
    /// Beginning of the window; later trades count.
    interval_start: Time,
    /// Close time of the first trade in the window.
    first_ledger_close_time: Time,
    /// Close time of the last trade in the window.
    last_ledger_close_time: Time,
    /// This market's order book; its prices are counter per base.
    orderbook_stats: OrderbookStats,
}

/// The trades of a pair, all issuers of two codes together, in the window.
#[derive(Debug, SimpleObject)]
pub(super) struct AggregatedMarket {
    /// `BASE_COUNTER`, by the code of the anchor where there is one, else by the code.
    trade_pair: String,
    /// Units of the base traded in the window.
    base_volume: f64,
    /// Units of the counter traded in the window.
    counter_volume: f64,
    /// Trades in the window.
    trade_count: i32,
    /// First price of the window, in base per counter.
    open: f64,
    /// Lowest price of the window, in base per counter.
    low: f64,
    /// Highest price of the window, in base per counter.
    high: f64,
    /// `close - open`, in base per counter; not a percentage.
    change: f64,
    /// Last price of the window, in base per counter: `19.4` means that 1 of the counter buys 19.4 of the base.
    close: f64,
    /// Beginning of the window; later trades count.
    interval_start: Time,
    /// Close time of the first trade in the window.
    first_ledger_close_time: Time,
    /// Close time of the last trade in the window.
    last_ledger_close_time: Time,
    /// Order books of the two codes (not anchors), summed; their prices are counter per base.
    orderbook_stats: OrderbookStats,
}

/// Figures of an order book, or of several summed. Prices are counter per base, the inverse of those of trades.
#[derive(Debug, SimpleObject)]
pub(super) struct OrderbookStats {
    /// Levels of bids: offers to buy the base. At most 200 for each market.
    bid_count: BigInt,
    /// Sum of the bids' amounts, in the counter.
    bid_volume: f64,
    /// Best bid in **counter per base**, the inverse of `close`; 0: none.
    bid_max: f64,
    /// Levels of asks: offers to sell the base. At most 200 for each market.
    ask_count: BigInt,
    /// Sum of amount times price of the asks, in the counter.
    ask_volume: f64,
    /// Best ask in **counter per base**, the inverse of `close`; 0: none, also if one of several books has none.
    ask_min: f64,
    /// Relative: `(askMin - bidMax) / askMin`; 0 if a side is 0.
    spread: f64,
    /// `bidMax + spread / 2`, as the old ticker had it: not the middle of bid and ask.
    spread_mid_point: f64,
}

/// The queries.
pub(super) struct Query;

/// The queries of the old ticker. Every answer is of the newest publication.
#[Object]
impl Query {
    /// Valid assets, sorted by code and issuer.
    async fn assets(&self, ctx: &Context<'_>) -> Result<ListMark<AssetObject>, Error> {
        record(ctx, Rows::Assets)
    }

    /// Issuers of valid assets, sorted by key; XLM's is `native`.
    async fn issuers(&self, ctx: &Context<'_>) -> Result<ListMark<IssuerObject>, Error> {
        record(ctx, Rows::Issuers)
    }

    /// Markets that traded in the window, sorted by name. XLM is always the base; of two issued assets the one whose
    /// `CODE:ISSUER` sorts first. Filters are exact and apply to these sides.
    async fn markets(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Code of the base, exact; any if absent.")] base_asset_code: Option<String>,
        #[graphql(desc = "Issuer of the base, exact, `native` for XLM; any if absent.")]
        base_asset_issuer: Option<String>,
        #[graphql(desc = "Code of the counter, exact; any if absent.")] counter_asset_code: Option<String>,
        #[graphql(desc = "Issuer of the counter, exact; any if absent.")] counter_asset_issuer: Option<
            String,
        >,
        #[graphql(desc = "Hours in the window: 24 if absent, at most 168. 0 or less answers an empty list.")]
        num_hours_ago: Option<i32>,
    ) -> Result<ListMark<Option<MarketObject>>, Error> {
        let hours = hours(num_hours_ago)?;
        let filter = MarketFilter {
            base_code: base_asset_code,
            base_issuer: base_asset_issuer,
            counter_code: counter_asset_code,
            counter_issuer: counter_asset_issuer,
        };
        record(ctx, Rows::Markets(filter, hours))
    }

    /// Pairs that traded in the window, sorted by name: all issuers of two codes together.
    async fn ticker(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Two codes (not anchors) as `A_B`, in either order; all pairs if absent.")]
        pair_name: Option<String>,
        #[graphql(desc = "Hours in the window: 24 if absent, at most 168. 0 or less answers an empty list.")]
        num_hours_ago: Option<i32>,
    ) -> Result<ListMark<Option<AggregatedMarket>>, Error> {
        let hours = hours(num_hours_ago)?;
        let codes = pair_name.map(|name| PairCodes::parse(&name).ok_or_else(|| Error::new(NO_PAIR)));
        record(ctx, Rows::Pairs(codes.transpose()?, hours))
    }

    /// Newest trades of the last 7 days, the newest first. The old ticker had no such field.
    async fn trades(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Two assets with `_` between them, each `XLM` or `CODE-ISSUER`; all if absent.")]
        market: Option<String>,
        #[graphql(desc = "Number of trades: 100 if absent, at most 1000.")] first: Option<i32>,
        #[graphql(desc = "Order: by time, the newest first, also if absent.")] order_by: Option<TradeOrder>,
    ) -> Result<ListMark<Trade>, Error> {
        let _only_one = order_by;
        let market = market.as_deref().map(market_data::market).transpose()?;
        record(ctx, Rows::Trades(market, market_data::first(first)?))
    }

    /// Newest candles of a market within the last 7 days, the oldest first. The old ticker had no such field.
    async fn candles(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Two assets with `_` between them, each `XLM` or `CODE-ISSUER`.")] market: String,
        #[graphql(desc = "`1m`, `5m`, `15m`, `1h`, `4h`, `1d` or `1w`; `1h` if absent.")] interval: Option<
            String,
        >,
        #[graphql(desc = "Number of candles: 100 if absent, at most 1000.")] first: Option<i32>,
    ) -> Result<ListMark<Candle>, Error> {
        let interval = market_data::interval(interval.as_deref())?;
        let (market, first) = (market_data::market(&market)?, market_data::first(first)?);
        record(ctx, Rows::Candles(market, interval, first))
    }
}

fn record<T>(ctx: &Context<'_>, rows: Rows) -> Result<ListMark<T>, Error> {
    Ok(ctx.data::<Arc<Plan>>()?.record(ctx, rows))
}

fn hours(num_hours_ago: Option<i32>) -> Result<i64, Error> {
    let hours = i64::from(num_hours_ago.unwrap_or(HOURS_DEFAULT));
    if hours > LONGEST_HOURS { Err(Error::new(TOO_LONG)) } else { Ok(hours) }
}
