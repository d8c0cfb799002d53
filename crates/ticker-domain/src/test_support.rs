//! Test values, for this crate and those that use it.

use std::cell::Cell;

use proptest::prelude::*;

use crate::{
    amount::Amount,
    cursor::PagingToken,
    directory::{AssetId, Directory},
    instant::UnixSeconds,
    issuer_file::Currency,
    listed_asset::ListedAsset,
    orderbook::{BestPrices, BookFigures, PolledBook},
    price::Price,
    trade_stats::WindowTrade,
    windows::MarketId,
};

thread_local! {
    /// Merges of [`TradeStats`](crate::trade_stats::TradeStats) on this thread: the cost of windows, without a clock.
    pub static MERGES: Cell<u64> = const { Cell::new(0) };
}

/// Valid account address made of one repeated byte.
#[must_use]
pub fn address(byte: u8) -> String {
    address_of([byte; 32])
}

/// Address of the account with this public key.
#[must_use]
pub fn address_of(key: [u8; 32]) -> String {
    stellar_strkey::ed25519::PublicKey(key).to_string().as_str().to_owned()
}

/// Trade of a ledger. `amounts` are base and counter in stroops, `price` is numerator and denominator.
///
/// # Panics
///
/// Panics if an amount is negative.
#[must_use]
#[expect(clippy::unwrap_used, reason = "a test that passes a negative amount must fail")]
pub fn trade(ledger: i64, order: i32, second: i64, amounts: (i64, i64), price: (i64, i64)) -> WindowTrade {
    WindowTrade {
        token: PagingToken { toid: ledger << 32, order },
        closed_at: UnixSeconds(second),
        base_amount: Amount::from_stroops(amounts.0).unwrap(),
        counter_amount: Amount::from_stroops(amounts.1).unwrap(),
        price: Price::new(price.0, price.1),
        is_buy: false,
        is_pool: false,
    }
}

/// Valid asset.
#[must_use]
pub fn listed(code: &str, issuer: &str, anchor_asset: &str) -> ListedAsset {
    let (code, issuer, anchor_asset) = (code.into(), issuer.into(), anchor_asset.into());
    let currency = Currency { code, issuer, anchor_asset, ..Currency::default() };
    ListedAsset { currency, ..ListedAsset::default() }
}

/// Order book with this number of bid levels and nothing else.
#[must_use]
pub fn book(bid_count: u64) -> PolledBook {
    let figures = BookFigures { bid_count, ..BookFigures::default() };
    PolledBook { figures, best: BestPrices::default(), fetched_at: UnixSeconds(1) }
}

/// Directory of assets `(code, issuer, anchor asset)` with the ids 1, 2, …, of markets `(id, base, counter)`
/// and of order books `(market, bid levels)`.
#[must_use]
pub fn directory(
    assets: &[(&str, &str, &str)],
    markets: &[(MarketId, AssetId, AssetId)],
    books: &[(MarketId, u64)],
) -> Directory {
    let mut directory = Directory::default();
    let assets = assets.iter().map(|(code, issuer, anchor)| Some(listed(code, issuer, anchor)));
    directory.update_assets((1..).zip(assets));
    directory.add_markets(markets.iter().copied());
    directory.update_books(books.iter().map(|(market, bids)| (*market, book(*bids))).collect(), true);
    directory
}

prop_compose! {
    /// Any trade whose ledger closes at `1_000_000 + 6 * ledger`, sometimes with a wrong close time.
    pub fn any_trade()(
        ledger in 0..130_000_i64, order in 0..4_i32, lie in prop_oneof![9 => Just(0_i64), 1 => -5_000..5_000_i64],
        base in prop_oneof![0..50_i64, 0..10_000_i64, Just(i64::MAX)], counter in 0..=i64::MAX, n in 0..40_i64,
        d in 0..40_i64, is_buy: bool, is_pool: bool,
    ) -> WindowTrade {
        let trade = trade(ledger, order, 1_000_000 + 6 * ledger + lie, (base, counter), (n, d));
        WindowTrade { is_buy, is_pool, ..trade }
    }
}
