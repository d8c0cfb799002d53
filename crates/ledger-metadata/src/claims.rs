//! Claims: the makers' offers and pools that an operation took.

use stellar_xdr as xdr;

use crate::{
    key::{AccountKey, ClaimedAsset},
    trade::{ClaimedAmount, Maker},
};

/// One claim, without its price.
pub(crate) struct Claim {
    pub(crate) maker: Maker,
    /// Id of the maker's offer, or `None` for a pool.
    pub(crate) offer_id: Option<i64>,
    pub(crate) sold: ClaimedAmount,
    pub(crate) bought: ClaimedAmount,
}

/// Claims of an operation, from its result. Operations that cannot trade have none.
///
/// stellar-core writes the result of a passive offer as that of a sell offer. The result decides, not the operation.
pub(crate) fn of_operation(result: &xdr::OperationResult) -> &[xdr::ClaimAtom] {
    use xdr::{
        ManageBuyOfferResult as Buy, ManageSellOfferResult as Sell, OperationResultTr as Result,
        PathPaymentStrictReceiveResult as Receive, PathPaymentStrictSendResult as Send,
    };
    let xdr::OperationResult::OpInner(result) = result else { return &[] };
    match result {
        Result::PathPaymentStrictReceive(Receive::Success(success)) => success.offers.as_slice(),
        Result::PathPaymentStrictSend(Send::Success(success)) => success.offers.as_slice(),
        Result::ManageSellOffer(Sell::Success(success))
        | Result::CreatePassiveSellOffer(Sell::Success(success))
        | Result::ManageBuyOffer(Buy::Success(success)) => success.offers_claimed.as_slice(),
        _ => &[],
    }
}

impl Claim {
    pub(crate) fn of(atom: &xdr::ClaimAtom) -> Self {
        match atom {
            xdr::ClaimAtom::V0(claim) => Self {
                maker: Maker::Account(AccountKey(claim.seller_ed25519.0)),
                offer_id: Some(claim.offer_id),
                sold: amount(&claim.asset_sold, claim.amount_sold),
                bought: amount(&claim.asset_bought, claim.amount_bought),
            },
            xdr::ClaimAtom::OrderBook(claim) => Self {
                maker: Maker::Account(AccountKey::of_account(&claim.seller_id)),
                offer_id: Some(claim.offer_id),
                sold: amount(&claim.asset_sold, claim.amount_sold),
                bought: amount(&claim.asset_bought, claim.amount_bought),
            },
            xdr::ClaimAtom::LiquidityPool(claim) => Self {
                maker: Maker::Pool((&claim.liquidity_pool_id.0).into()),
                offer_id: None,
                sold: amount(&claim.asset_sold, claim.amount_sold),
                bought: amount(&claim.asset_bought, claim.amount_bought),
            },
        }
    }

    /// True if the exchange only removed an offer that could no longer be honoured. It is no trade, but it counts in
    /// the order of the operation's trades.
    pub(crate) const fn is_swept_offer(&self) -> bool {
        self.sold.stroops == 0 && self.bought.stroops == 0
    }
}

fn amount(asset: &xdr::Asset, stroops: i64) -> ClaimedAmount {
    ClaimedAmount { asset: ClaimedAsset::of(asset), stroops }
}
