//! The end of Horizon's history, and the evidence that must agree before it is believed. If a page that is empty by
//! mistake were believed, all older ledgers would count as held for ever.

use crate::{
    actors::network_check::LEADING_LEDGERS_MAX,
    db::Database,
    domain::cursor::PagingToken,
    horizon::{HorizonClient, client::PageOrder, wire::Root},
};

use super::{
    history_error::{HistoryEndError, HistoryError},
    holes::{self, HOLE_LEDGERS_MIN, LedgerState},
};

/// Records requested from the oldest ledger on. One would do, unless the first has no readable token.
const FIRST_RECORDS: u32 = 10;

/// Evidence for and against the claim that nothing lies below `place`.
#[derive(Clone, Copy, Debug)]
struct Claim {
    /// Position below which nothing is claimed to lie; none if the server returned no trade at all.
    place: Option<PagingToken>,
    /// `history_elder_ledger` of the root.
    elder: u32,
    /// `history_latest_ledger` of the root.
    latest: u32,
    /// `core_latest_ledger` of the root; 0 if not reported.
    core: u32,
    /// Oldest trade of the server, read upwards from its oldest ledger.
    first: Option<PagingToken>,
    /// Newest held trade below `place` within the server's range of ledgers.
    held: Option<PagingToken>,
}

/// Collects the evidence: reads the server's history from the other end, and the held trades below. Returns the
/// server's oldest ledger, or the contradiction. Costs three or four requests, once per stretch.
///
/// Without `held_in`, held trades do not count as evidence. A comparison of held trades with the server needs that: it
/// looks for held trades that the server lacks.
///
/// The root is read after the page, so that history which was reaped in between does not count as held.
pub(super) async fn confirm(
    horizon: &HorizonClient,
    held_in: Option<&Database>,
    place: Option<PagingToken>,
) -> Result<Result<u32, HistoryEndError>, HistoryError> {
    let Root { history_elder_ledger: elder, history_latest_ledger: latest, core_latest_ledger: core, .. } =
        horizon.root().await?;
    let bottom = PagingToken::before_ledger(elder);
    let records = horizon.trades_page(Some(bottom), PageOrder::Ascending, FIRST_RECORDS).await?;
    let token = |record: &Result<_, _>| match record {
        Ok(crate::horizon::wire::ReceivedTrade { trade, .. }) => Some(trade.token),
        Err(crate::horizon::wire::RecordError { token, .. }) => *token,
    };
    let first = records.iter().filter_map(token).min();
    let held = match held_in.zip(place) {
        Some((database, place)) => database.newest_held_between(bottom, place).await?.map(|(token, _)| token),
        None => None,
    };
    match (Claim { place, elder, latest, core, first, held }.judge()) {
        Ok(elder) => Ok(confirm_ledgers(horizon, elder, latest, place).await?.map_or(Ok(elder), Err)),
        doubt => Ok(doubt),
    }
}

/// Asks the server of the pages for its oldest ledger, which the root of another server may have named, and for one
/// between that and the oldest trade.
async fn confirm_ledgers(
    horizon: &HorizonClient,
    elder: u32,
    latest: u32,
    place: Option<PagingToken>,
) -> Result<Option<HistoryEndError>, HistoryError> {
    let known = place.map_or(latest, PagingToken::ledger);
    match holes::ledger_state(horizon, elder, known).await? {
        LedgerState::Held => {}
        LedgerState::Lacking => return Ok(Some(HistoryEndError::OtherServer(elder))),
        LedgerState::NotServed => return Ok(None),
    }
    let first = place.map_or(elder, PagingToken::ledger);
    let middle = elder.midpoint(first.max(elder));
    let may_lack = first.saturating_sub(elder) > HOLE_LEDGERS_MIN;
    if may_lack && holes::ledger_state(horizon, middle, elder).await? == LedgerState::Lacking {
        return Ok(Some(HistoryEndError::Lacks(middle)));
    }
    Ok(None)
}

impl Claim {
    fn judge(self) -> Result<u32, HistoryEndError> {
        let Self { place, elder, latest, core, first, held } = self;
        if elder == 0 || elder > latest {
            return Err(HistoryEndError::NoHistory { elder, latest });
        }
        // A server that ingests its history again has an end too, far below what is known to exist.
        let known = core.max(place.map_or(0, PagingToken::ledger));
        if known > latest.saturating_add(LEADING_LEDGERS_MAX) {
            return Err(HistoryEndError::Behind { latest, known });
        }
        match (place, first) {
            (Some(place), Some(first)) if first < place => {
                return Err(HistoryEndError::ServerHasOlder(first));
            }
            (None, Some(first)) => return Err(HistoryEndError::ServerHasOlder(first)),
            (Some(_), None) => return Err(HistoryEndError::NoTrades),
            _ => {}
        }
        held.map_or(Ok(elder), |held| Err(HistoryEndError::HeldBelow(held)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(ledger: u32) -> Option<PagingToken> {
        PagingToken::new((i64::from(ledger) << 32) + 1, 0)
    }

    fn claim() -> Claim {
        Claim { place: place(100), elder: 40, latest: 900, core: 901, first: place(100), held: None }
    }

    #[test]
    fn an_end_is_believed_if_server_root_and_held_trades_agree() {
        assert_eq!(claim().judge(), Ok(40), "quiet ledgers lie between the oldest one and the first trade");
        assert_eq!(Claim { core: 0, ..claim() }.judge(), Ok(40), "an old server names no core");
        assert_eq!(Claim { place: None, first: None, ..claim() }.judge(), Ok(40), "a network without trades");
        let alone = Claim { place: place(900), elder: 900, first: place(900), ..claim() };
        assert_eq!(alone.judge(), Ok(900), "one ledger is a history");
        // The server reaped its oldest ledgers after the page was read.
        assert_eq!(Claim { elder: 101, first: place(102), ..claim() }.judge(), Ok(101));
    }

    #[test]
    fn each_contradiction_is_an_error() {
        let doubt = |claim: Claim| claim.judge().unwrap_err();
        let starts = Claim { elder: 0, latest: 0, ..claim() };
        assert_eq!(doubt(starts), HistoryEndError::NoHistory { elder: 0, latest: 0 });
        let above = HistoryEndError::NoHistory { elder: 901, latest: 900 };
        assert_eq!(doubt(Claim { elder: 901, ..claim() }), above);
        let ingesting = HistoryEndError::Behind { latest: 900, known: 1_901 };
        assert_eq!(doubt(Claim { core: 1_901, ..claim() }), ingesting);
        assert_eq!(Claim { core: 1_900, ..claim() }.judge(), Ok(40));
        let below_what_was_read = Claim { place: place(1_901), first: place(1_901), ..claim() };
        assert_eq!(doubt(below_what_was_read), ingesting);
        let older = place(99).unwrap();
        assert_eq!(doubt(Claim { first: Some(older), ..claim() }), HistoryEndError::ServerHasOlder(older));
        let server_has = HistoryEndError::ServerHasOlder(place(100).unwrap());
        assert_eq!(doubt(Claim { place: None, ..claim() }), server_has);
        assert_eq!(doubt(Claim { first: None, ..claim() }), HistoryEndError::NoTrades);
        assert_eq!(doubt(Claim { held: Some(older), ..claim() }), HistoryEndError::HeldBelow(older));
    }
}
