//! Printers of the fields of each type.

use crate::domain::{
    amount::STROOPS_PER_UNIT,
    conversions::SaturatingFrom,
    instant::UnixSeconds,
    json_text::push_string,
    listed_asset::ListedAsset,
    market_snapshot::{MarketRow, TickerRow},
    number::{push_go_number, ratio_to_f64},
    orderbook::BookFigures,
    ticker::LegacyFigures,
    trade_stats::TradeStats,
};

/// Returns the printer of a field, by the names of its type and of the field.
pub(super) type Printer<P> = fn(&str, &str) -> Option<P>;
/// Appends a value of an asset, or of its issuer.
pub(super) type AssetPrinter = fn(&mut String, &ListedAsset);
/// Appends a value of a market or pair.
pub(super) type TradedPrinter = fn(&mut String, &Traded<'_>);

/// A market or a pair in a window.
pub(super) struct Traded<'a> {
    name: String,
    /// Base and counter of a market; none for a pair.
    sides: Option<(&'a ListedAsset, &'a ListedAsset)>,
    figures: LegacyFigures,
    since: UnixSeconds,
    first: UnixSeconds,
    last: UnixSeconds,
    book: BookFigures,
}

impl<'a> Traded<'a> {
    pub(super) fn market(row: &MarketRow<'a>, since: UnixSeconds) -> Self {
        let sides = Some((row.base, row.counter));
        Self { sides, ..Self::of(row.name(), &row.stats, row.book, since) }
    }

    pub(super) fn pair(row: TickerRow, since: UnixSeconds) -> Self {
        Self::of(row.name, &row.stats, row.book, since)
    }

    fn of(name: String, stats: &TradeStats, book: BookFigures, since: UnixSeconds) -> Self {
        let (first, last) = stats.times.unwrap_or_default();
        Self { name, sides: None, figures: LegacyFigures::from(stats), since, first, last, book }
    }

    fn base(&self) -> Option<&ListedAsset> {
        self.sides.map(|(base, _)| base)
    }

    fn counter(&self) -> Option<&ListedAsset> {
        self.sides.map(|(_, counter)| counter)
    }
}

/// Returns the printer of a field of `Market`, `AggregatedMarket` or `OrderbookStats`.
pub(super) fn of_traded(type_name: &str, name: &str) -> Option<TradedPrinter> {
    match type_name {
        "Market" => of_market(name).or_else(|| of_pair(name)),
        "AggregatedMarket" => of_pair(name),
        "OrderbookStats" => of_book(name),
        _ => None,
    }
}

fn of_market(name: &str) -> Option<TradedPrinter> {
    Some(match name {
        "baseAssetCode" => |out, row| push_string(out, row.base().map_or("", ListedAsset::code)),
        "baseAssetIssuer" => |out, row| push_string(out, row.base().map_or("", ListedAsset::issuer)),
        "counterAssetCode" => |out, row| push_string(out, row.counter().map_or("", ListedAsset::code)),
        "counterAssetIssuer" => |out, row| push_string(out, row.counter().map_or("", ListedAsset::issuer)),
        _ => return None,
    })
}

fn of_pair(name: &str) -> Option<TradedPrinter> {
    Some(match name {
        "tradePair" => |out, row| push_string(out, &row.name),
        "baseVolume" => |out, row| push_double(out, row.figures.base_volume),
        "counterVolume" => |out, row| push_double(out, row.figures.counter_volume),
        "tradeCount" => |out, row| push_whole(out, i32::saturating_from(row.figures.trade_count).into()),
        "open" => |out, row| push_double(out, row.figures.open),
        "low" => |out, row| push_double(out, row.figures.low),
        "high" => |out, row| push_double(out, row.figures.high),
        "change" => |out, row| push_double(out, row.figures.close - row.figures.open),
        "close" => |out, row| push_double(out, row.figures.close),
        "intervalStart" => |out, row| push_string(out, &row.since.to_rfc3339()),
        "firstLedgerCloseTime" => |out, row| push_string(out, &row.first.to_rfc3339()),
        "lastLedgerCloseTime" => |out, row| push_string(out, &row.last.to_rfc3339()),
        _ => return None,
    })
}

fn of_book(name: &str) -> Option<TradedPrinter> {
    Some(match name {
        "bidCount" => |out, row| push_levels(out, row.book.bid_count),
        "bidVolume" => |out, row| push_double(out, row.book.bid_volume),
        "bidMax" => |out, row| push_double(out, row.book.bid_max),
        "askCount" => |out, row| push_levels(out, row.book.ask_count),
        "askVolume" => |out, row| push_double(out, row.book.ask_volume),
        "askMin" => |out, row| push_double(out, row.book.ask_min),
        "spread" => |out, row| push_double(out, row.book.spread().0),
        "spreadMidPoint" => |out, row| push_double(out, row.book.spread().1),
        _ => return None,
    })
}

/// Returns the printer of a field of `Asset` or `Issuer`.
pub(super) fn of_asset(type_name: &str, name: &str) -> Option<AssetPrinter> {
    match type_name {
        "Asset" => of_identity(name).or_else(|| of_currency(name)),
        "Issuer" => of_issuer(name),
        _ => None,
    }
}

/// Returns the printer of a field that comes from Horizon.
fn of_identity(name: &str) -> Option<AssetPrinter> {
    Some(match name {
        "code" => |out, asset| push_string(out, asset.code()),
        "issuerAccount" => |out, asset| push_string(out, asset.issuer()),
        "type" => |out, asset| push_string(out, &asset.kind),
        "numAccounts" => |out, asset| push_whole(out, i32::saturating_from(asset.num_accounts).into()),
        "authRequired" => |out, asset| push_flag(out, asset.auth_required),
        "authRevocable" => |out, asset| push_flag(out, asset.auth_revocable),
        "amount" => |out, asset| push_double(out, ratio_to_f64(asset.amount.stroops(), STROOPS_PER_UNIT)),
        "assetControlledByDomain" => |out, asset| push_flag(out, asset.is_controlled_by_domain),
        "issuerID" => |out, asset| push_whole(out, asset.issuer_id.into()),
        _ => return None,
    })
}

/// Returns the printer of a field that comes from the issuer's stellar.toml.
fn of_currency(name: &str) -> Option<AssetPrinter> {
    Some(match name {
        "anchorAssetCode" => |out, asset| push_string(out, &asset.currency.anchor_asset),
        "anchorAssetType" => |out, asset| push_string(out, &asset.currency.anchor_asset_type),
        "isAssetAnchored" => |out, asset| push_flag(out, asset.currency.is_asset_anchored),
        "displayDecimals" => |out, asset| push_whole(out, asset.currency.display_decimals),
        "name" => |out, asset| push_string(out, &asset.currency.name),
        "desc" => |out, asset| push_string(out, &asset.currency.desc),
        "conditions" => |out, asset| push_string(out, &asset.currency.conditions),
        "fixedNumber" => |out, asset| push_whole(out, asset.currency.fixed_number),
        "maxNumber" => |out, asset| push_whole(out, asset.currency.max_number),
        "isUnlimited" => |out, asset| push_flag(out, asset.currency.is_unlimited),
        "redemptionInstructions" => |out, asset| push_string(out, &asset.currency.redemption_instructions),
        "collateralAddresses" => {
            |out, asset| push_string(out, &asset.currency.collateral_addresses.join(","))
        }
        "collateralAddressSignatures" => {
            |out, asset| push_string(out, &asset.currency.collateral_address_signatures.join(","))
        }
        "countries" => |out, _| push_string(out, ""), // Always empty, as in the old ticker.
        "status" => |out, asset| push_string(out, &asset.currency.status),
        _ => return None,
    })
}

fn of_issuer(name: &str) -> Option<AssetPrinter> {
    Some(match name {
        "publicKey" => |out, asset| push_string(out, asset.issuer()),
        "name" => |out, asset| push_string(out, &asset.issuer.name),
        "url" => |out, asset| push_string(out, &asset.issuer.url),
        "tomlURL" => |out, asset| push_string(out, &asset.toml_url),
        "federationServer" => |out, asset| push_string(out, &asset.issuer.federation_server),
        "authServer" => |out, asset| push_string(out, &asset.issuer.auth_server),
        "transferServer" => |out, asset| push_string(out, &asset.issuer.transfer_server),
        "webAuthEndpoint" => |out, asset| push_string(out, &asset.issuer.web_auth_endpoint),
        "depositServer" => |out, asset| push_string(out, &asset.issuer.deposit_server),
        "orgTwitter" => |out, asset| push_string(out, &asset.issuer.twitter),
        _ => return None,
    })
}

/// Appends a number, or null for one that is not finite, which JSON cannot express.
fn push_double(out: &mut String, value: f64) {
    if value.is_finite() { push_go_number(out, value) } else { out.push_str("null") }
}

fn push_levels(out: &mut String, count: u64) {
    push_whole(out, i64::saturating_from(count));
}

fn push_whole(out: &mut String, value: i64) {
    // Writing to a String never fails.
    let _ = std::fmt::Write::write_fmt(out, format_args!("{value}"));
}

fn push_flag(out: &mut String, flag: bool) {
    out.push_str(if flag { "true" } else { "false" });
}
