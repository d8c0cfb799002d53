//! Price of the maker's offer, as it was before the operation took it.

use stellar_xdr as xdr;

use crate::key::AccountKey;

/// Price of an offer before an operation, counter per base as the maker sells: `(numerator, denominator)`, unreduced.
///
/// The offer is the entry before its last update or removal among the operation's changes. A created offer has no
/// entry before, so it cannot have been taken. `None` means that the metadata does not tell the price.
pub(crate) fn before(
    changes: &[xdr::LedgerEntryChange],
    maker: AccountKey,
    offer_id: i64,
) -> Option<(i64, i64)> {
    let is_maker =
        |seller: &xdr::AccountId, id: i64| id == offer_id && AccountKey::of_account(seller) == maker;
    changes.windows(2).rev().find_map(|pair| {
        let [earlier, later] = pair else { return None };
        let taken = match later {
            xdr::LedgerEntryChange::Updated(entry) => {
                offer(entry).is_some_and(|offer| is_maker(&offer.seller_id, offer.offer_id))
            }
            xdr::LedgerEntryChange::Removed(xdr::LedgerKey::Offer(key)) => {
                is_maker(&key.seller_id, key.offer_id)
            }
            _ => false,
        };
        let (xdr::LedgerEntryChange::State(entry) | xdr::LedgerEntryChange::Restored(entry)) = earlier else {
            return None;
        };
        let before = offer(entry).filter(|offer| taken && is_maker(&offer.seller_id, offer.offer_id))?;
        Some((i64::from(before.price.n), i64::from(before.price.d)))
    })
}

const fn offer(entry: &xdr::LedgerEntry) -> Option<&xdr::OfferEntry> {
    match &entry.data {
        xdr::LedgerEntryData::Offer(offer) => Some(offer),
        _ => None,
    }
}
