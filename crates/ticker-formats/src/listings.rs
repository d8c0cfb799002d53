//! Documents of the market API and of listing sites, all out of one [`ListingView`]: a market has the same figures in
//! each of them.
//!
//! Prices are quote per base everywhere. A listing format has the markets of valid assets that traded in the last 24
//! hours. The own API has all markets, with flags.

pub mod aggregations;
mod asset;
mod book;
pub mod candles;
pub mod ccxt;
pub mod coingecko;
pub mod coinmarketcap;
pub mod explain;
pub mod facts;
mod flags;
pub mod history;
pub mod live;
mod lookup;
mod market;
mod one_by_one;
pub mod orderbook;
pub mod own;
pub mod price_at;
mod trades;
pub mod udf;
mod value;
mod view;
pub mod volume;

pub use asset::AssetView;
pub(crate) use flags::{Finding, Warning, findings};
pub use market::MarketView;
pub use view::{IdStyle, ListingView};
