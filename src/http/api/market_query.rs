//! Query of `/api/v1/markets`: selection, order, fields and page.

use std::{cmp::Reverse, sync::Arc};

use actix_web::HttpRequest;
use serde_json::Value;
use ticker_formats::listings::{AssetView, ListingView, MarketView, own};
use xxhash_rust::xxh3::xxh3_64;

use super::{document, error::ApiError, moment_view::MomentView, parameters::Parameters, views::Views};
use crate::domain::{conversions::SaturatingFrom, identity::SpelledAsset, instant::UnixSeconds, span::Span};

/// Default number of markets on a page.
const PAGE: i64 = 100;
/// Most markets of a page.
const PAGE_MAX: i64 = 1_000;
/// Stroops in a dollar.
const DOLLAR: i128 = 10_000_000;

/// Selection and order of `/api/v1/markets`.
pub(super) struct MarketQuery {
    base: Option<String>,
    quote: Option<String>,
    code: Option<String>,
    issuer: Option<String>,
    verified: Option<bool>,
    min_volume_usd: Option<i64>,
    sort: &'static str,
    limit: usize,
    /// In the order of [`FIELDS`], each at most once.
    fields: Option<Vec<&'static str>>,
    cursor: Option<Cursor>,
    /// Hash of selection and order, without page and fields.
    selection: u64,
    /// All of it, as a key of the view's documents.
    key: String,
}

/// Position of a page, the view that it is a page of, and the list that it belongs to:
/// `<seq>.<as_of>.<number of markets before it>.<hash of selection and order>`.
struct Cursor {
    seq: i64,
    as_of: UnixSeconds,
    skip: usize,
    /// None in the cursors of earlier versions, whose views are gone.
    selection: Option<u64>,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (seq, as_of, skip, selection) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            seq: seq.parse().ok()?,
            as_of: UnixSeconds(as_of.parse().ok()?),
            skip: skip.parse().ok()?,
            selection: selection.map(|text| u64::from_str_radix(text, 16)).transpose().ok()?,
        })
    }
}

/// Fields of a market that a reader may select.
const FIELDS: [&str; 15] = [
    "id",
    "base",
    "quote",
    "last",
    "last_trade",
    "windows",
    "bid",
    "ask",
    "spread",
    "mid",
    "book_age_s",
    "accounts",
    "flags",
    "usd",
    "pool_id",
];

impl MarketQuery {
    pub(super) fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        let known = [
            "base",
            "quote",
            "code",
            "issuer",
            "verified",
            "min_volume_usd",
            "sort",
            "limit",
            "fields",
            "cursor",
        ];
        let parameters = Parameters::read(request, &known)?;
        let text = |name: &str| parameters.text(name).map(ToOwned::to_owned);
        let verified = parameters.word("verified", &["true", "false"])?.map(|word| word == "true");
        let sort = parameters.word("sort", &["name", "volume", "trades", "change"])?.unwrap_or("name");
        let limit = parameters.number("limit", 1, PAGE_MAX)?.unwrap_or(PAGE);
        let bad = |text: &str| ApiError::BadParameter(text.to_owned());
        let cursor = match parameters.text("cursor") {
            None => None,
            Some(text) => Some(
                Cursor::parse(text)
                    .ok_or_else(|| bad("cursor is invalid: use next_cursor of the previous page"))?,
            ),
        };
        let [base, quote] = ["base", "quote"].map(|name| parameters.text(name).map(canonical));
        let [code, issuer] = ["code", "issuer"].map(text);
        let min_volume_usd = parameters.number("min_volume_usd", 0, i64::MAX)?;
        let list = format!("{:?}", (&base, &quote, &code, &issuer, verified, min_volume_usd, sort));
        let selection = xxh3_64(list.as_bytes());
        let of_cursor = cursor.as_ref().and_then(|cursor| cursor.selection);
        if of_cursor.is_some_and(|of_cursor| of_cursor != selection) {
            return Err(ApiError::Gone(
                "this cursor is of another list: keep its selection and order, or begin again without a cursor".into(),
            ));
        }
        let fields = parameters.text("fields").map(fields).transpose()?;
        // A cursor names its view, so within a view its position says it all.
        let skip = cursor.as_ref().map_or(0, |cursor| cursor.skip);
        let key = format!("{list}/{limit}/{skip}/{fields:?}");
        Ok(Self {
            base,
            quote,
            code,
            issuer,
            verified,
            min_volume_usd,
            sort,
            limit: usize::saturating_from(limit),
            key,
            fields,
            cursor,
            selection,
        })
    }

    /// All of it, as a key of the view's documents: one for all spellings of a question.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The view that the cursor names, if there is a cursor.
    pub(super) fn view_of_cursor(&self, views: &Views) -> Result<Option<Arc<MomentView>>, ApiError> {
        let named = |cursor: &Cursor| {
            let view = cursor.selection.and_then(|_| views.named(cursor.seq, cursor.as_of));
            view.ok_or_else(|| {
                ApiError::Gone(
                    "the view of this cursor is not held any more; begin again without a cursor".into(),
                )
            })
        };
        self.cursor.as_ref().map(named).transpose()
    }

    /// The assets that `base` and `quote` name.
    pub(super) fn assets<'a>(&self, view: &'a ListingView) -> Result<[Option<AssetView<'a>>; 2], ApiError> {
        let named =
            |text: &Option<String>| text.as_deref().map(|text| document::asset(view, text)).transpose();
        Ok([named(&self.base)?, named(&self.quote)?])
    }

    /// The markets that match, in order.
    fn select<'a>(&self, view: &'a ListingView) -> Result<Vec<MarketView<'a>>, ApiError> {
        let [base, quote] = self.assets(view)?;
        let is = |wanted: Option<&str>, actual: &str| wanted.is_none_or(|wanted| wanted == actual);
        let either = |market: &MarketView<'_>, test: &dyn Fn(&AssetView<'_>) -> bool| {
            test(market.base()) || test(market.quote())
        };
        let mut markets = view.markets();
        markets.retain(|market| {
            base.is_none_or(|base| base.asset() == market.base().asset())
                && quote.is_none_or(|quote| quote.asset() == market.quote().asset())
                && either(market, &|asset| {
                    is(self.code.as_deref(), asset.asset().code())
                        && is(self.issuer.as_deref(), asset.asset().issuer())
                })
                && self.verified.is_none_or(|verified| market.is_verified() == verified)
                && self.min_volume_usd.is_none_or(|least| {
                    market.day_volume_usd().is_some_and(|volume| volume >= i128::from(least) * DOLLAR)
                })
        });
        match self.sort {
            "volume" => markets.sort_by_cached_key(|market| Reverse(market.day_volume_usd())),
            "trades" => markets.sort_by_cached_key(|market| Reverse(market.stats(Span::Day).trade_count)),
            "change" => markets.sort_by_cached_key(|market| Reverse(market.day_change_millionths())),
            _ => {} // sorted by name already
        }
        Ok(markets)
    }

    pub(super) fn render(&self, view: &ListingView) -> Vec<u8> {
        let markets = self.select(view).unwrap_or_default();
        let skip = self.cursor.as_ref().map_or(0, |cursor| cursor.skip);
        let page = markets.get(skip..).unwrap_or_default();
        let page = page.get(..self.limit).unwrap_or(page);
        let after = skip.saturating_add(page.len());
        let next = (after < markets.len())
            .then(|| format!("{}.{}.{after}.{:x}", view.seq(), view.as_of().0, self.selection));
        let list = own::market_list(view, page, next);
        match &self.fields {
            None => own::to_bytes(&list),
            Some(fields) => own::to_bytes(&only(fields, serde_json::to_value(&list).unwrap_or_default())),
        }
    }
}

/// The known fields that a list names. Order and repeats make no difference to the answer.
fn fields(names: &str) -> Result<Vec<&'static str>, ApiError> {
    let mut is_wanted = [false; FIELDS.len()];
    for name in names.split(',') {
        let mut known = FIELDS.iter().zip(&mut is_wanted);
        let Some((_, is_wanted)) = known.find(|(field, _)| **field == name) else {
            return Err(ApiError::BadParameter(format!("fields must be among: {}", FIELDS.join(", "))));
        };
        *is_wanted = true;
    }
    Ok(FIELDS
        .into_iter()
        .zip(is_wanted)
        .filter_map(|(field, is_wanted)| is_wanted.then_some(field))
        .collect())
}

/// Name of the asset that a text spells. Contract ids and wrong texts stay as they are, since only a view knows them.
fn canonical(text: &str) -> String {
    match text.parse() {
        Ok(SpelledAsset::Classic(asset)) => asset.name(),
        _ => text.to_owned(),
    }
}

/// The list with only these fields of each market.
fn only(fields: &[&str], mut list: Value) -> Value {
    if let Some(markets) = list.get_mut("markets").and_then(Value::as_array_mut) {
        for market in markets.iter_mut().filter_map(Value::as_object_mut) {
            market.retain(|name, _| fields.contains(&name.as_str()));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn all_spellings_of_a_question_have_one_key() {
        let key = |query: &str| {
            let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
            MarketQuery::read(&request).ok().unwrap().key().to_owned()
        };
        let usdc = "USDC-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";
        let one = key(&format!("base=XLM&quote={usdc}"));
        for other in [
            format!("quote={usdc}&base=XLM"),
            format!("base=native&quote={}", usdc.replacen('-', ":", 1)),
            format!("base=XLM&quote={usdc}-1&sort=name&limit=0100"),
        ] {
            assert_eq!(key(&other), one, "{other}");
        }
        for more in ["limit=99", "sort=volume", "verified=true", "fields=id", "code=XLM", "min_volume_usd=0"]
        {
            assert_ne!(key(&format!("base=XLM&quote={usdc}&{more}")), one, "{more}");
        }
        assert_ne!(key("code=A&issuer=B"), key("code=B&issuer=A"));
    }

    #[test]
    fn a_list_of_fields_is_the_same_in_any_order_and_with_any_repeats() {
        let read = |query: &str| {
            let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
            MarketQuery::read(&request)
        };
        let one = read("limit=9&fields=usd,id,last").ok().unwrap();
        assert_eq!(one.fields.as_deref(), Some(&["id", "last", "usd"][..]));
        let repeats = "usd,last,id,".repeat(2_000);
        let other = read(&format!("fields={repeats}last&limit=9")).ok().unwrap();
        assert_eq!((other.key(), other.fields.as_deref()), (one.key(), one.fields.as_deref()));
        for different in ["limit=9", "limit=9&fields=usd,id", "limit=8&fields=usd,id,last"] {
            assert_ne!(read(different).ok().unwrap().key(), one.key(), "{different}");
        }
        for wrong in ["", "id,", "ID", "id,no"] {
            assert!(read(&format!("fields={wrong}")).is_err(), "{wrong}");
        }
    }
}
