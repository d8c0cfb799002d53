//! Scripted data: exactly the records that a test pushes, at the time it pushes them.

use super::asset_cursor::{self, AssetKey};
use super::model::{TomlReply, TradeId};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Error for a scripted record without a valid paging token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a scripted {0} needs a valid paging_token")]
pub struct MissingTokenError(&'static str);

/// Scripted trades, assets, books and files. Clones share the data, so a test keeps one to add to it.
#[derive(Debug, Clone, Default)]
pub struct FixedSource(Arc<RwLock<FixedState>>);

#[derive(Debug, Default)]
pub(crate) struct FixedState {
    pub(crate) trades: BTreeMap<TradeId, Value>,
    /// Trades of ledgers that have not closed.
    pub(crate) strays: BTreeSet<TradeId>,
    pub(crate) assets: BTreeMap<AssetKey, Value>,
    pub(crate) books: HashMap<(String, String), Value>,
    pub(crate) tomls: HashMap<String, TomlReply>,
    pub(crate) elder: u32,
    pub(crate) latest: u32,
    pub(crate) closed_at: DateTime<Utc>,
}

impl FixedState {
    /// Returns true if pages and streams of a server with this range of ledgers have the trade.
    pub(crate) fn serves(&self, id: TradeId, ledgers: &RangeInclusive<u32>) -> bool {
        ledgers.contains(&id.ledger()) || self.strays.contains(&id)
    }

    fn push_trade(&mut self, trade: Value) -> Result<TradeId, MissingTokenError> {
        let id = trade_id(&trade)?;
        let closed_at = trade.get("ledger_close_time").and_then(Value::as_str);
        let closed_at = closed_at.and_then(|text| text.parse().ok());
        if id.ledger() > self.latest {
            self.latest = id.ledger();
            self.closed_at = closed_at.unwrap_or(self.closed_at);
        }
        self.trades.insert(id, trade);
        Ok(id)
    }
}

impl FixedSource {
    /// Creates an empty source with a history from ledger `elder` to `latest`, which closed at `closed_at`.
    pub fn new(elder: u32, latest: u32, closed_at: DateTime<Utc>) -> Self {
        let source = Self::default();
        {
            let mut state = source.write();
            (state.elder, state.latest, state.closed_at) = (elder, latest, closed_at);
        }
        source
    }

    /// Adds a trade at the position of its `paging_token`. Its other fields may be invalid.
    ///
    /// A trade of a newer ledger closes that ledger, at its `ledger_close_time` if that parses.
    ///
    /// # Errors
    ///
    /// [`MissingTokenError`] if the token is missing or invalid.
    pub fn push_trade(&self, trade: Value) -> Result<TradeId, MissingTokenError> {
        self.write().push_trade(trade)
    }

    /// Adds trades atomically, as when a ledger closes: no reader sees a part of them.
    ///
    /// # Errors
    ///
    /// [`MissingTokenError`] if a token is missing or invalid.
    pub fn push_trades(&self, trades: impl IntoIterator<Item = Value>) -> Result<(), MissingTokenError> {
        let mut state = self.write();
        trades.into_iter().try_for_each(|trade| state.push_trade(trade).map(drop))
    }

    /// Adds a trade of a ledger that has not closed. Pages and streams give it, and the root does not count its ledger.
    ///
    /// # Errors
    ///
    /// [`MissingTokenError`] if the token is missing or invalid.
    pub fn push_stray(&self, trade: Value) -> Result<TradeId, MissingTokenError> {
        let id = trade_id(&trade)?;
        let mut state = self.write();
        state.strays.insert(id);
        state.trades.insert(id, trade);
        Ok(id)
    }

    /// Adds or replaces an asset by its `paging_token`.
    ///
    /// # Errors
    ///
    /// [`MissingTokenError`] if the token is missing or invalid.
    pub fn put_asset(&self, asset: Value) -> Result<(), MissingTokenError> {
        let token = asset.get("paging_token").and_then(Value::as_str).unwrap_or_default();
        let key = asset_cursor::parse(token).ok_or(MissingTokenError("asset"))?;
        self.write().assets.insert(key, asset);
        Ok(())
    }

    /// Sets the whole reply to `/order_book` for a pair, each `native` or `CODE:ISSUER`, in this orientation only.
    pub fn put_book(&self, selling: &str, buying: &str, book: Value) {
        self.write().books.insert((selling.to_owned(), buying.to_owned()), book);
    }

    /// Sets the stellar.toml of a domain.
    pub fn put_toml(&self, domain: &str, reply: TomlReply) {
        self.write().tomls.insert(domain.to_owned(), reply);
    }

    /// Drops the history before `elder`, like a server with little retention.
    pub fn set_elder(&self, elder: u32) {
        self.write().elder = elder;
    }

    /// Locks for reading. A poisoned lock only means that a test failed elsewhere; the data are consistent.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, FixedState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, FixedState> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn trade_id(trade: &Value) -> Result<TradeId, MissingTokenError> {
    let token = trade.get("paging_token").and_then(Value::as_str).unwrap_or_default();
    TradeId::parse(token).ok_or(MissingTokenError("trade"))
}
