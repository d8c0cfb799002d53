//! Ids and trades as plain typed data: what an oracle hands to a test.

use chrono::{DateTime, Utc};
use std::fmt;

/// The highest ledger a toid can hold (31 bits, as the id is a positive int64).
pub const LEDGER_MAX: u32 = 0x7fff_ffff;

/// A trade's place in history: Horizon's `id` and `paging_token` is `<toid>-<order>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TradeId {
    /// `ledger << 32 | transaction << 12 | operation`, transaction and operation counted from 1.
    pub toid: i64,
    /// The trade's number within its operation, from 0.
    pub order: i64,
}

impl TradeId {
    /// Before everything.
    pub const MIN: Self = Self { toid: 0, order: -1 };
    /// After everything.
    pub const MAX: Self = Self { toid: i64::MAX, order: i64::MAX };

    /// The place before a ledger's first trade.
    pub fn before_ledger(ledger: u32) -> Self {
        Self { toid: i64::from(ledger.min(LEDGER_MAX)) << 32, order: -1 }
    }

    /// The ledger this id lies in.
    pub fn ledger(self) -> u32 {
        u32::try_from(self.toid >> 32).unwrap_or(0)
    }

    /// Reads a paging token, or a bare toid, which as in Horizon stands after all trades of its operation
    /// in either direction. None for anything else, negative numbers included.
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

/// How a trade came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeKind {
    /// Two accounts' offers.
    Orderbook,
    /// One side is a liquidity pool.
    LiquidityPool {
        /// The pool's fee in basis points.
        fee_bp: u32,
    },
}

/// One side of a trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimSide {
    /// `native` or `CODE:ISSUER`.
    pub asset: String,
    /// Stroops.
    pub amount: i64,
    /// None on a pool's side.
    pub account: Option<String>,
    /// The pool's id in hexadecimal, on a pool's side only.
    pub pool: Option<String>,
    /// None on a pool's side. 2^62 and more is synthetic: the taker had no offer.
    pub offer_id: Option<i64>,
}

/// A trade as the simulated server sends it, in the server's own orientation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimTrade {
    /// Its place in history.
    pub id: TradeId,
    /// Close time of its ledger, whole seconds.
    pub closed_at: DateTime<Utc>,
    /// Order book or pool.
    pub kind: TradeKind,
    /// The server's base side.
    pub base: SimSide,
    /// The server's counter side.
    pub counter: SimSide,
    /// Numerator of the price, counter per base.
    pub price_n: i64,
    /// Denominator of the price.
    pub price_d: i64,
    /// Whether the maker (or the pool) is on the base side.
    pub base_is_seller: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_and_garbage_is_refused() {
        let id = TradeId { toid: 249_108_103_169_024_001, order: 3 };
        assert_eq!(TradeId::parse(&id.to_string()), Some(id));
        assert_eq!(id.ledger(), 58_000_000);
        assert_eq!(TradeId::parse("12"), Some(TradeId { toid: 12, order: i64::MAX }));
        for bad in ["", "-", "1-", "-1", "1-2-3", "+1", "x", "99999999999999999999", "1- 2", "now"] {
            assert_eq!(TradeId::parse(bad), None, "{bad}");
        }
    }
}
