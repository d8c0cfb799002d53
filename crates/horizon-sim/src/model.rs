//! Ids, trades and replies as plain typed data, which a test compares with.

use chrono::{DateTime, Utc};
use std::fmt;

/// Highest ledger of a toid: 31 bits, because the id is a positive int64.
pub(crate) const LEDGER_MAX: u32 = 0x7fff_ffff;

/// Position of a trade in history. Horizon's `id` and `paging_token` are `<toid>-<order>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TradeId {
    /// `ledger << 32 | transaction << 12 | operation`. Transactions and operations count from 1.
    pub toid: i64,
    /// Index of the trade within its operation, from 0.
    pub order: i64,
}

impl TradeId {
    /// Position before everything.
    pub const MIN: Self = Self { toid: 0, order: -1 };
    /// Position after everything.
    pub const MAX: Self = Self { toid: i64::MAX, order: i64::MAX };

    /// Position before the first trade of a ledger.
    pub fn before_ledger(ledger: u32) -> Self {
        Self { toid: i64::from(ledger.min(LEDGER_MAX)) << 32, order: -1 }
    }

    /// Ledger of the trade.
    pub fn ledger(self) -> u32 {
        u32::try_from(self.toid >> 32).unwrap_or(0)
    }

    /// Parses a paging token, or a bare toid, which in Horizon is after all trades of its operation in either
    /// direction. `None` for anything else, negative numbers included.
    pub fn parse(token: &str) -> Option<Self> {
        let number = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if plain { text.parse::<i64>().ok() } else { None }
        };
        match token.split_once('-') {
            Some((toid, order)) => Some(Self { toid: number(toid)?, order: number(order)? }),
            None => Some(Self { toid: number(token)?, order: i64::MAX }),
        }
    }
}

impl fmt::Display for TradeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.toid, self.order)
    }
}

/// Kind of a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeKind {
    /// Trade between the offers of two accounts.
    Orderbook,
    /// Trade with a liquidity pool.
    LiquidityPool {
        /// Fee of the pool, in basis points.
        fee_bp: u32,
    },
}

/// One side of a trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimSide {
    /// Asset as `native` or `CODE:ISSUER`.
    pub asset: String,
    /// Amount in stroops.
    pub amount: i64,
    /// Account, or `None` for a pool.
    pub account: Option<String>,
    /// Id of the pool in hexadecimal, or `None` for an account.
    pub pool: Option<String>,
    /// Id of the offer, or `None` for a pool. From 2^62 on it is synthetic: the taker had no offer.
    pub offer_id: Option<i64>,
}

/// Trade as the simulated server sends it, in the server's own orientation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimTrade {
    /// Position in history.
    pub id: TradeId,
    /// Close time of the ledger, in whole seconds.
    pub closed_at: DateTime<Utc>,
    /// Order book or pool.
    pub kind: TradeKind,
    /// Base side of the server.
    pub base: SimSide,
    /// Counter side of the server.
    pub counter: SimSide,
    /// Numerator of the price, counter per base.
    pub price_n: i64,
    /// Denominator of the price, counter per base.
    pub price_d: i64,
    /// True if the maker (or the pool) is on the base side.
    pub base_is_seller: bool,
}

/// Reply for a stellar.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TomlReply {
    /// HTTP status.
    pub status: u16,
    /// Body, which need not be TOML.
    pub body: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_others_are_rejected() {
        let id = TradeId { toid: 249_108_103_169_024_001, order: 3 };
        assert_eq!(TradeId::parse(&id.to_string()), Some(id));
        assert_eq!(id.ledger(), 58_000_000);
        assert_eq!(TradeId::parse("12"), Some(TradeId { toid: 12, order: i64::MAX }));
        for bad in ["", "-", "1-", "-1", "1-2-3", "+1", "x", "99999999999999999999", "1- 2", "now"] {
            assert_eq!(TradeId::parse(bad), None, "{bad}");
        }
    }
}
