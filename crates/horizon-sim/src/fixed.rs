//! Scripted data: exactly the records a test pushes, when it pushes them.

use super::model::TradeId;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A stellar.toml's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TomlReply {
    /// HTTP status.
    pub status: u16,
    /// The body, which need not be TOML.
    pub body: Vec<u8>,
}

/// Why a record cannot be served.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a scripted {0} needs a valid paging_token")]
pub struct NoPagingToken(&'static str);

/// Scripted trades, assets, books and files; clones share the same data, so a test keeps one.
#[derive(Debug, Clone, Default)]
pub struct FixedSource(Arc<RwLock<FixedState>>);

#[derive(Debug, Default)]
pub(crate) struct FixedState {
    pub(crate) trades: BTreeMap<TradeId, Value>,
    pub(crate) assets: BTreeMap<super::render_asset::AssetKey, Value>,
    pub(crate) books: HashMap<(String, String), Value>,
    pub(crate) tomls: HashMap<String, TomlReply>,
    pub(crate) elder: u32,
    pub(crate) latest: u32,
    pub(crate) closed_at: DateTime<Utc>,
}

impl FixedState {
    fn push_trade(&mut self, trade: Value) -> Result<TradeId, NoPagingToken> {
        let token = trade.get("paging_token").and_then(Value::as_str).unwrap_or_default();
        let id = TradeId::parse(token).ok_or(NoPagingToken("trade"))?;
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
    /// No records, and a history from `elder` to `latest`, whose newest ledger closed at `closed_at`.
    pub fn new(elder: u32, latest: u32, closed_at: DateTime<Utc>) -> Self {
        let source = Self::default();
        {
            let mut state = source.write();
            (state.elder, state.latest, state.closed_at) = (elder, latest, closed_at);
        }
        source
    }

    /// Adds a trade at the place its `paging_token` names; all else in it may be as broken as a test
    /// likes. A trade of a newer ledger closes that ledger, at its `ledger_close_time` where that parses.
    pub fn push_trade(&self, trade: Value) -> Result<TradeId, NoPagingToken> {
        self.write().push_trade(trade)
    }

    /// The same for many, which nobody sees a part of: as a ledger closes.
    pub fn push_trades(&self, trades: impl IntoIterator<Item = Value>) -> Result<(), NoPagingToken> {
        let mut state = self.write();
        trades.into_iter().try_for_each(|trade| state.push_trade(trade).map(drop))
    }

    /// Adds or replaces an asset by its `paging_token`.
    pub fn put_asset(&self, asset: Value) -> Result<(), NoPagingToken> {
        let token = asset.get("paging_token").and_then(Value::as_str).unwrap_or_default();
        let key = super::render_asset::parse_cursor(token).ok_or(NoPagingToken("asset"))?;
        self.write().assets.insert(key, asset);
        Ok(())
    }

    /// Takes an asset away again.
    pub fn remove_asset(&self, paging_token: &str) {
        if let Some(key) = super::render_asset::parse_cursor(paging_token) {
            self.write().assets.remove(&key);
        }
    }

    /// The whole reply to `/order_book` for a pair, each `native` or `CODE:ISSUER`, in this order only.
    pub fn put_book(&self, selling: &str, buying: &str, book: Value) {
        self.write().books.insert((selling.to_owned(), buying.to_owned()), book);
    }

    /// The stellar.toml of a domain.
    pub fn put_toml(&self, domain: &str, reply: TomlReply) {
        self.write().tomls.insert(domain.to_owned(), reply);
    }

    /// Closes ledgers without trades up to `latest`; an older one is ignored.
    pub fn close_ledger(&self, latest: u32, closed_at: DateTime<Utc>) {
        let mut state = self.write();
        if latest > state.latest {
            (state.latest, state.closed_at) = (latest, closed_at);
        }
    }

    /// Drops history before `elder`, as a server with little retention does.
    pub fn set_elder(&self, elder: u32) {
        self.write().elder = elder;
    }

    /// A poisoned lock only says that a test failed elsewhere; its data are whole.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, FixedState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, FixedState> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
