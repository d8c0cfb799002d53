//! Operations: their bodies, results and entry changes.

use stellar_xdr as xdr;

use super::{LakeError, claims::MakerView};
use crate::{model::SimTrade, protocol};

/// Operation with its result and what it changed.
pub(super) struct Operation {
    pub(super) source: [u8; 32],
    pub(super) body: xdr::OperationBody,
    pub(super) result: xdr::OperationResult,
    pub(super) changes: Vec<xdr::LedgerEntryChange>,
}

impl Operation {
    /// Payment, which never trades.
    pub(super) fn payment(source: [u8; 32]) -> Self {
        let destination = muxed(source, None);
        Self {
            source,
            body: xdr::OperationBody::Payment(xdr::PaymentOp {
                destination,
                asset: xdr::Asset::Native,
                amount: 1,
            }),
            result: result(xdr::OperationResultTr::Payment(xdr::PaymentResult::Success)),
            changes: Vec::new(),
        }
    }

    /// Operation that makes these trades, all of one taker, in their order. A missing order is a swept offer.
    pub(super) fn trading(
        trades: &[&SimTrade],
        ledger: u32,
        first_version: bool,
    ) -> Result<Option<Self>, LakeError> {
        let Some(first) = trades.first() else { return Ok(None) };
        let view = MakerView::of(first);
        let (mut atoms, mut changes) = (Vec::new(), Vec::new());
        for trade in trades {
            while i64::try_from(atoms.len()).unwrap_or(i64::MAX) < trade.id.order {
                atoms.push(view.swept()?);
            }
            let trade = MakerView::of(trade);
            atoms.push(trade.claim(first_version)?);
            changes.extend(trade.changes(ledger)?);
        }
        let source = view.taker()?;
        let (body, result) = body_and_result(&view, source, atoms)?;
        Ok(Some(Self { source, body, result, changes }))
    }
}

/// One of the five kinds of operation that trade.
fn body_and_result(
    view: &MakerView<'_>,
    source: [u8; 32],
    claims: Vec<xdr::ClaimAtom>,
) -> Result<(xdr::OperationBody, xdr::OperationResult), LakeError> {
    let (selling, buying) = (view.bought()?, view.sold()?);
    let price = xdr::Price { n: 1, d: 1 };
    let destination = muxed(source, None);
    let last = || xdr::SimplePaymentResult {
        destination: protocol::account_id(source),
        asset: buying.clone(),
        amount: 1,
    };
    let managed = |claims: Vec<xdr::ClaimAtom>| {
        let offer = xdr::ManageOfferSuccessResultOffer::Deleted;
        Ok::<_, LakeError>(xdr::ManageOfferSuccessResult { offers_claimed: claims.try_into()?, offer })
    };
    let (body, result_of_kind) = match view.variety % 5 {
        0 => {
            let last = last();
            let sent = xdr::PathPaymentStrictSendResultSuccess { offers: claims.try_into()?, last };
            let body = xdr::PathPaymentStrictSendOp {
                send_asset: selling,
                send_amount: 1,
                destination,
                dest_asset: buying,
                dest_min: 1,
                path: xdr::VecM::default(),
            };
            let result = xdr::PathPaymentStrictSendResult::Success(sent);
            (
                xdr::OperationBody::PathPaymentStrictSend(body),
                xdr::OperationResultTr::PathPaymentStrictSend(result),
            )
        }
        1 => {
            let last = last();
            let received = xdr::PathPaymentStrictReceiveResultSuccess { offers: claims.try_into()?, last };
            let body = xdr::PathPaymentStrictReceiveOp {
                send_asset: selling,
                send_max: 1,
                destination,
                dest_asset: buying,
                dest_amount: 1,
                path: xdr::VecM::default(),
            };
            let result = xdr::PathPaymentStrictReceiveResult::Success(received);
            (
                xdr::OperationBody::PathPaymentStrictReceive(body),
                xdr::OperationResultTr::PathPaymentStrictReceive(result),
            )
        }
        2 => {
            let body = xdr::ManageBuyOfferOp { selling, buying, buy_amount: 1, price, offer_id: 0 };
            let result = xdr::ManageBuyOfferResult::Success(managed(claims)?);
            (xdr::OperationBody::ManageBuyOffer(body), xdr::OperationResultTr::ManageBuyOffer(result))
        }
        3 => {
            // stellar-core writes the result of a passive offer as that of a sell offer.
            let body = xdr::CreatePassiveSellOfferOp { selling, buying, amount: 1, price };
            let result = xdr::ManageSellOfferResult::Success(managed(claims)?);
            (
                xdr::OperationBody::CreatePassiveSellOffer(body),
                xdr::OperationResultTr::ManageSellOffer(result),
            )
        }
        _ => {
            let body = xdr::ManageSellOfferOp { selling, buying, amount: 1, price, offer_id: 0 };
            let result = xdr::ManageSellOfferResult::Success(managed(claims)?);
            (xdr::OperationBody::ManageSellOffer(body), xdr::OperationResultTr::ManageSellOffer(result))
        }
    };
    Ok((body, result(result_of_kind)))
}

/// Account as an operation names it, with or without an id of its owner's.
pub(super) fn muxed(key: [u8; 32], id: Option<u64>) -> xdr::MuxedAccount {
    let ed25519 = xdr::Uint256(key);
    match id {
        Some(id) => xdr::MuxedAccount::MuxedEd25519(xdr::MuxedAccountMed25519 { id, ed25519 }),
        None => xdr::MuxedAccount::Ed25519(ed25519),
    }
}

const fn result(kind: xdr::OperationResultTr) -> xdr::OperationResult {
    xdr::OperationResult::OpInner(kind)
}
