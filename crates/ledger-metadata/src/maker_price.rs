//! Price of the maker's offer, as it was before the operation took it.

use stellar_xdr as xdr;

use crate::key::AccountKey;

/// Change of an offer by an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfferChange {
    seller: AccountKey,
    id: i64,
    /// Price before the change, if this change shows it: `(numerator, denominator)`.
    before: Option<(i64, i64)>,
    /// True for an update or a removal.
    is_taken: bool,
}

impl OfferChange {
    /// Change of an offer, or `None` for another entry. A created offer has no entry before,
    /// so it cannot have been taken.
    pub(crate) fn of(change: &xdr::LedgerEntryChange) -> Option<Self> {
        use xdr::LedgerEntryChange as Change;
        let (entry, tells_price, is_taken) = match change {
            Change::Removed(xdr::LedgerKey::Offer(key)) => {
                let seller = AccountKey::of_account(&key.seller_id);
                return Some(Self { seller, id: key.offer_id, before: None, is_taken: true });
            }
            Change::Removed(_) => return None,
            Change::State(entry) | Change::Restored(entry) => (entry, true, false),
            Change::Created(entry) => (entry, false, false),
            Change::Updated(entry) => (entry, false, true),
        };
        let xdr::LedgerEntryData::Offer(offer) = &entry.data else { return None };
        let price = (i64::from(offer.price.n), i64::from(offer.price.d));
        Some(Self {
            seller: AccountKey::of_account(&offer.seller_id),
            id: offer.offer_id,
            before: tells_price.then_some(price),
            is_taken,
        })
    }
}

/// Price of an offer before an operation, counter per base as the maker sells: `(numerator, denominator)`, unreduced.
///
/// The offer is the entry before its last update or removal among the operation's changes of offers. `None` means that
/// the metadata does not show the price.
pub(crate) fn before(changes: &[OfferChange], maker: AccountKey, offer_id: i64) -> Option<(i64, i64)> {
    let is_maker = |change: &OfferChange| change.id == offer_id && change.seller == maker;
    changes.windows(2).rev().find_map(|pair| {
        let [earlier, later] = pair else { return None };
        earlier.before.filter(|_| later.is_taken && is_maker(later) && is_maker(earlier))
    })
}
