//! Claims of a trade, and the entry changes that show its price.

use stellar_xdr as xdr;

use super::LakeError;
use crate::{
    model::{SimSide, SimTrade},
    num::hash3,
    protocol::{self, POOL_FEE_BP, account_id},
};

/// Trade as its maker sees it.
pub(super) struct MakerView<'a> {
    maker: &'a SimSide,
    taker: &'a SimSide,
    price_n: i64,
    price_d: i64,
    /// Random number of the trade, which varies its encoding.
    pub(super) variety: u64,
}

impl<'a> MakerView<'a> {
    pub(super) fn of(trade: &'a SimTrade) -> Self {
        let variety = hash3(0x6c61_6b65, trade.id.toid.unsigned_abs(), trade.id.order.unsigned_abs());
        let (base, counter) = (&trade.base, &trade.counter);
        let (n, d) = (trade.price_n, trade.price_d);
        let (maker, taker, price_n, price_d) =
            if trade.base_is_seller { (base, counter, n, d) } else { (counter, base, d, n) };
        Self { maker, taker, price_n, price_d, variety }
    }

    pub(super) fn taker(&self) -> Result<[u8; 32], LakeError> {
        account(self.taker.account.as_deref().unwrap_or_default())
    }

    pub(super) fn sold(&self) -> Result<xdr::Asset, LakeError> {
        asset(&self.maker.asset)
    }

    pub(super) fn bought(&self) -> Result<xdr::Asset, LakeError> {
        asset(&self.taker.asset)
    }

    /// The claim, of version 0 if `first_version`: before protocol 18 there were no pools, and no other version.
    pub(super) fn claim(&self, first_version: bool) -> Result<xdr::ClaimAtom, LakeError> {
        let (asset_sold, asset_bought) = (self.sold()?, self.bought()?);
        let (amount_sold, amount_bought) = (self.maker.amount, self.taker.amount);
        if let Some(pool) = &self.maker.pool {
            let liquidity_pool_id = pool_id(pool)?;
            return Ok(xdr::ClaimAtom::LiquidityPool(xdr::ClaimLiquidityAtom {
                liquidity_pool_id,
                asset_sold,
                amount_sold,
                asset_bought,
                amount_bought,
            }));
        }
        let (seller, offer_id) = self.offer()?;
        Ok(if first_version {
            xdr::ClaimAtom::V0(xdr::ClaimOfferAtomV0 {
                seller_ed25519: xdr::Uint256(seller),
                offer_id,
                asset_sold,
                amount_sold,
                asset_bought,
                amount_bought,
            })
        } else {
            xdr::ClaimAtom::OrderBook(xdr::ClaimOfferAtom {
                seller_id: account_id(seller),
                offer_id,
                asset_sold,
                amount_sold,
                asset_bought,
                amount_bought,
            })
        })
    }

    /// Claim of the same offer with nothing exchanged: the exchange swept it away.
    pub(super) fn swept(&self) -> Result<xdr::ClaimAtom, LakeError> {
        Ok(xdr::ClaimAtom::OrderBook(xdr::ClaimOfferAtom {
            seller_id: account_id(self.taker()?),
            offer_id: 1,
            asset_sold: self.sold()?,
            amount_sold: 0,
            asset_bought: self.bought()?,
            amount_bought: 0,
        }))
    }

    /// Changes of the maker's entry: as it was before, and what became of it.
    pub(super) fn changes(&self, ledger: u32) -> Result<Vec<xdr::LedgerEntryChange>, LakeError> {
        if let Some(pool) = &self.maker.pool {
            let entry = entry(ledger, self.pool_entry(pool)?);
            return Ok(vec![
                xdr::LedgerEntryChange::State(entry.clone()),
                xdr::LedgerEntryChange::Updated(entry),
            ]);
        }
        let offer = self.offer_entry()?;
        let (seller_id, offer_id) = (offer.seller_id.clone(), offer.offer_id);
        let before = entry(ledger, xdr::LedgerEntryData::Offer(offer.clone()));
        let first = if self.variety.is_multiple_of(17) {
            xdr::LedgerEntryChange::Restored(before)
        } else {
            xdr::LedgerEntryChange::State(before)
        };
        let last = if self.variety.is_multiple_of(2) {
            xdr::LedgerEntryChange::Removed(xdr::LedgerKey::Offer(xdr::LedgerKeyOffer {
                seller_id,
                offer_id,
            }))
        } else {
            // The price afterwards differs: only the entry before the trade has the right one.
            let price = xdr::Price { n: 1, d: 3 };
            let after = xdr::OfferEntry { price, ..offer };
            xdr::LedgerEntryChange::Updated(entry(ledger, xdr::LedgerEntryData::Offer(after)))
        };
        Ok(vec![first, last])
    }

    fn offer(&self) -> Result<([u8; 32], i64), LakeError> {
        let seller = account(self.maker.account.as_deref().unwrap_or_default())?;
        Ok((seller, self.maker.offer_id.unwrap_or_default()))
    }

    fn offer_entry(&self) -> Result<xdr::OfferEntry, LakeError> {
        let (seller, offer_id) = self.offer()?;
        let (n, d) = (self.price_n, self.price_d);
        let wrong = |_| LakeError::Price(n, d);
        Ok(xdr::OfferEntry {
            seller_id: account_id(seller),
            offer_id,
            selling: self.sold()?,
            buying: self.bought()?,
            amount: self.maker.amount,
            price: xdr::Price { n: i32::try_from(n).map_err(wrong)?, d: i32::try_from(d).map_err(wrong)? },
            flags: 0,
            ext: xdr::OfferEntryExt::V0,
        })
    }

    fn pool_entry(&self, pool: &str) -> Result<xdr::LedgerEntryData, LakeError> {
        let fee = i32::try_from(POOL_FEE_BP).unwrap_or_default();
        let params = xdr::LiquidityPoolConstantProductParameters {
            asset_a: self.sold()?,
            asset_b: self.bought()?,
            fee,
        };
        let body = xdr::LiquidityPoolEntryBody::LiquidityPoolConstantProduct(
            xdr::LiquidityPoolEntryConstantProduct {
                params,
                reserve_a: self.maker.amount.saturating_mul(100),
                reserve_b: self.taker.amount.saturating_mul(100),
                total_pool_shares: 1_000_000,
                pool_shares_trust_line_count: 3,
            },
        );
        Ok(xdr::LedgerEntryData::LiquidityPool(xdr::LiquidityPoolEntry {
            liquidity_pool_id: pool_id(pool)?,
            body,
        }))
    }
}

fn entry(ledger: u32, data: xdr::LedgerEntryData) -> xdr::LedgerEntry {
    let last_modified_ledger_seq = ledger.saturating_sub(1);
    xdr::LedgerEntry { last_modified_ledger_seq, data, ext: xdr::LedgerEntryExt::V0 }
}

fn account(address: &str) -> Result<[u8; 32], LakeError> {
    protocol::account(address).ok_or_else(|| LakeError::Name(address.to_owned()))
}

fn asset(name: &str) -> Result<xdr::Asset, LakeError> {
    protocol::asset(name).ok_or_else(|| LakeError::Name(name.to_owned()))
}

fn pool_id(hex: &str) -> Result<xdr::PoolId, LakeError> {
    let wrong = || LakeError::Name(hex.to_owned());
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return Err(wrong());
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        let digits = hex.get(2 * index..2 * index + 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(xdr::PoolId(xdr::Hash(bytes)))
}
