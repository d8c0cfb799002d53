//! Pure domain: amounts, prices, assets, markets, trades, windows and snapshots of them.
//!
//! Nothing in here does I/O, reads a clock or panics, whatever the input.

pub mod amount;
pub mod asset;
pub mod asset_names;
pub mod candles;
pub mod changes;
pub mod close_times;
pub mod conversions;
pub mod coverage;
pub mod cursor;
pub mod decimal;
pub mod directory;
pub mod identity;
pub mod instant;
pub mod issuer_file;
pub mod json_text;
pub mod ledger_source;
pub mod listed_asset;
pub mod listed_trade;
pub mod listener;
pub mod market;
pub mod market_snapshot;
pub mod number;
pub mod orderbook;
pub mod pair_index;
pub mod percent;
pub mod plain_text;
pub mod price;
pub mod quoted;
pub mod ranking;
pub mod shown_url;
pub mod span;
pub mod symbol_choice;
pub mod symbols;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
pub mod ticker;
pub mod toml_link;
pub mod trade;
pub mod trade_stats;
pub mod trading_accounts;
pub mod usd;
pub mod validity;
pub mod volume;
pub mod window;
pub mod windows;
