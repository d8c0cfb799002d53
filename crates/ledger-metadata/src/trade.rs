//! Trades of a ledger, seen by the maker.

use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use ticker_domain::{
    amount::Amount,
    cursor::PagingToken,
    instant::UnixSeconds,
    trade::{PoolId, Side, TradeError, TradeRecord},
};

use crate::{
    hashes::Hash,
    key::{AccountKey, ClaimedAsset},
};

/// Account or pool that made the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// Account with an offer in the order book.
    Account(AccountKey),
    /// Liquidity pool.
    Pool(Hash),
}

/// Amount of an asset, in stroops. Never negative in a ledger that the network made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedAmount {
    /// Asset.
    pub asset: ClaimedAsset,
    /// Amount in stroops.
    pub stroops: i64,
}

/// Trade as Horizon derives it from a claim. Base is what the maker sold, counter what the maker bought.
///
/// It serialises to `{id, ledger_close_time, sold_asset, sold_amount, bought_asset, bought_amount,
/// price_n, price_d, seller, buyer, liquidity_pool_id}`: amounts in stroops and prices as decimal
/// strings, the time in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerTrade {
    /// Identity and place in history.
    pub token: PagingToken,
    /// Close time of the ledger.
    pub closed_at: UnixSeconds,
    /// Amount that the maker sold.
    pub sold: ClaimedAmount,
    /// Amount that the maker bought.
    pub bought: ClaimedAmount,
    /// Numerator of the price, bought per sold, unreduced.
    pub price_n: i64,
    /// Denominator of the price.
    pub price_d: i64,
    /// Account or pool that made the price.
    pub maker: Maker,
    /// Account of the taker.
    pub buyer: AccountKey,
}

impl LedgerTrade {
    /// Trade in the form in which Horizon's records are judged: base is the maker's side.
    ///
    /// # Errors
    ///
    /// [`TradeError`] for an asset or an amount that no trade may have.
    pub fn record(&self) -> Result<TradeRecord, TradeError> {
        let (account, pool) = match self.maker {
            Maker::Account(key) => (Some(key.account()?), None),
            Maker::Pool(id) => (None, Some(PoolId::parse(&id.to_string())?)),
        };
        let side = |amount: ClaimedAmount, account, pool| {
            Ok::<_, TradeError>(Side {
                asset: amount.asset.asset()?,
                amount: Amount::from_stroops(amount.stroops)?,
                account,
                pool,
            })
        };
        Ok(TradeRecord {
            token: self.token,
            closed_at: self.closed_at,
            base: side(self.sold, account, pool)?,
            counter: side(self.bought, Some(self.buyer.account()?), None)?,
            price_n: self.price_n,
            price_d: self.price_d,
            base_is_seller: true,
        })
    }

    /// True if the price explains the amounts: rounding moved one of them by less than a stroop.
    ///
    /// Entry changes, and with them the price of an offer, are not covered by the hashes of the ledger. A price of 0/0,
    /// which no offer of the network has, explains nothing. A pool's price is the ratio of its amounts.
    #[must_use]
    pub fn price_explains_amounts(&self) -> bool {
        let [sold, bought, n, d] =
            [self.sold.stroops, self.bought.stroops, self.price_n, self.price_d].map(i128::from);
        if matches!(self.maker, Maker::Pool(_)) {
            return true;
        }
        let difference = (bought * d - sold * n).abs();
        n > 0 && d > 0 && difference < n.max(d)
    }
}

impl Serialize for LedgerTrade {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (seller, pool) = match self.maker {
            Maker::Account(key) => (Some(key.to_string()), None),
            Maker::Pool(id) => (None, Some(id.to_string())),
        };
        let mut record = serializer.serialize_struct("LedgerTrade", 11)?;
        record.serialize_field("id", &self.token.to_string())?;
        record.serialize_field("ledger_close_time", &self.closed_at.0)?;
        record.serialize_field("sold_asset", &self.sold.asset.to_string())?;
        record.serialize_field("sold_amount", &self.sold.stroops.to_string())?;
        record.serialize_field("bought_asset", &self.bought.asset.to_string())?;
        record.serialize_field("bought_amount", &self.bought.stroops.to_string())?;
        record.serialize_field("price_n", &self.price_n.to_string())?;
        record.serialize_field("price_d", &self.price_d.to_string())?;
        record.serialize_field("seller", &seller)?;
        record.serialize_field("buyer", &self.buyer.to_string())?;
        record.serialize_field("liquidity_pool_id", &pool)?;
        record.end()
    }
}
