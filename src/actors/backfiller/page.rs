//! Pages of trades from new to old, read until they can be trusted.

use std::collections::{BTreeMap, btree_map::Entry};

use super::holes::HOLE_LEDGERS_MIN;
use crate::{
    domain::{conversions::SaturatingFrom, cursor::PagingToken, instant::UnixSeconds},
    horizon::{
        HorizonClient, HorizonError,
        client::{LIMIT_MAX, PageOrder},
        wire::{ReceivedTrade, RecordError},
    },
};

/// Attempts for a page that looks wrong.
const ASKED_MAX: u32 = 3;
/// Attempts for a page that reaches up to the trade above it. Half of the servers may be behind.
const BEHIND_MAX: u32 = 12;

/// Empty answers below a page that confirm the end of history. A false end would make all older ledgers count as held.
const END_CONFIRMED: u32 = 2;

type Records = Vec<Result<ReceivedTrade, RecordError>>;

/// Trades directly below a cursor, in any order and without repetitions.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Trades by position.
    pub(super) trades: BTreeMap<PagingToken, ReceivedTrade>,
    /// Other trades with the position of one of those. At most one of them can be right.
    pub(super) doubles: Vec<ReceivedTrade>,
    /// Records that are no trades.
    pub(super) refused: Vec<RecordError>,
    /// True if nothing lies below.
    pub(super) is_last: bool,
}

/// Request for a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedPage {
    /// Most attempts for a page that reaches up to the trade above it.
    pub(super) attempts: u32,
    /// Records of the page.
    pub(super) limit: u32,
}

impl Default for AskedPage {
    fn default() -> Self {
        Self { attempts: BEHIND_MAX, limit: LIMIT_MAX }
    }
}

/// Place below which a page is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Above everything: the newest page.
    Top,
    /// This position.
    Position(PagingToken),
    /// A trade that Horizon has.
    Trade(PagingToken),
}

impl Place {
    /// Position below which the trades of the page lie.
    pub(super) const fn cursor(self) -> Option<PagingToken> {
        match self {
            Self::Top => None,
            Self::Position(token) | Self::Trade(token) => Some(token),
        }
    }

    /// Cursor of the request.
    const fn asked(self) -> Option<PagingToken> {
        match self {
            Self::Trade(token) => Some(token.next()),
            _ => self.cursor(),
        }
    }

    /// Removes the trade of the place from the records. Returns false if it is missing.
    fn is_reached(self, records: &mut Records) -> bool {
        let Self::Trade(trade) = self else { return true };
        let is_it = |record: &Result<ReceivedTrade, RecordError>| match record {
            Ok(received) => received.trade.token == trade,
            Err(refused) => refused.token == Some(trade),
        };
        let Some(place) = records.iter().position(is_it) else { return false };
        drop(records.remove(place));
        true
    }
}

impl Page {
    /// Makes a page of the records of an answer that lie below the cursor. Others were not asked for and are dropped.
    fn of(records: Records, cursor: Option<PagingToken>) -> Self {
        let mut page = Self::default();
        for record in records {
            match record {
                Ok(received) if is_below(received.trade.token, cursor) => {
                    page.add(received);
                }
                Ok(_) => {}
                Err(refused) => page.refused.push(refused),
            }
        }
        page
    }

    /// Adds a trade. If another one has its position, that one counts, and this is kept as its double.
    fn add(&mut self, received: ReceivedTrade) {
        match self.trades.entry(received.trade.token) {
            Entry::Vacant(place) => {
                place.insert(received);
            }
            Entry::Occupied(first) => {
                let is_known = |known: &ReceivedTrade| known.trade == received.trade;
                if !is_known(first.get()) && !self.doubles.iter().any(is_known) {
                    self.doubles.push(received);
                }
            }
        }
    }

    /// Adds the versions of this page's trades that other answers held. What only they held is dropped.
    fn add_doubles(&mut self, others: Self) {
        for received in others.trades.into_values().chain(others.doubles) {
            if self.trades.contains_key(&received.trade.token) {
                self.add(received);
            }
        }
    }

    /// Adds what another answer to the same request held. This page's version of a trade counts.
    fn absorb(&mut self, other: Self) {
        other.trades.into_values().chain(other.doubles).for_each(|received| self.add(received));
        self.refused.extend(other.refused);
        // A record that one answer spoiled and another did not is a good trade.
        let trades = &self.trades;
        self.refused.retain(|record| record.token.is_none_or(|token| !trades.contains_key(&token)));
    }

    /// Adds the page directly below.
    pub(super) fn join(&mut self, below: Self) {
        below.trades.into_values().chain(below.doubles).for_each(|received| self.add(received));
        self.refused.extend(below.refused);
        self.is_last = below.is_last;
    }

    /// Removes what lies at or above a position.
    pub(super) fn keep_below(&mut self, end: PagingToken) {
        self.trades.retain(|token, _| *token < end);
        self.doubles.retain(|double| double.trade.token < end);
        self.refused.retain(|refused| refused.token.is_none_or(|token| token < end));
    }

    /// Removes what lies below a trade. The page is then no longer the last.
    pub(super) fn keep_from(&mut self, lowest: PagingToken) {
        self.trades.retain(|token, _| *token >= lowest);
        self.doubles.retain(|double| double.trade.token >= lowest);
        self.refused.retain(|refused| refused.token.is_none_or(|token| token >= lowest));
        self.is_last = false;
    }

    /// Returns true if the page shows what lies directly below a position.
    pub(super) fn reaches_below(&self, place: PagingToken) -> bool {
        self.is_last || self.lowest().is_some_and(|lowest| lowest < place)
    }

    /// Ledger and close time of each trade.
    pub(super) fn times(&self) -> impl Iterator<Item = (u32, UnixSeconds)> {
        self.trades.iter().map(|(token, received)| (token.ledger(), received.trade.closed_at))
    }

    /// Returns the position below which the next page begins. Records that are no trades count only if there is no
    /// trade: with a false position they would skip everything in between, and otherwise they come again on the next
    /// page.
    pub(super) fn lowest(&self) -> Option<PagingToken> {
        let trade = self.trades.first_key_value().map(|(token, _)| *token);
        trade.or_else(|| self.refused.iter().filter_map(|refused| refused.token).min())
    }

    /// Returns the lowest position, and the cursor, if only records that are no trades show that position, and it lies
    /// so far below that a false one would leave out much.
    fn far_below(&self, cursor: Option<PagingToken>) -> Option<(PagingToken, PagingToken)> {
        let (lowest, cursor) = self.lowest().filter(|_| self.trades.is_empty()).zip(cursor)?;
        let ledgers = cursor.ledger().saturating_sub(lowest.ledger());
        (ledgers > HOLE_LEDGERS_MIN).then_some((lowest, cursor))
    }

    /// Returns true if the records directly above the lowest position are those of this page, up to the cursor.
    fn is_confirmed_by(&self, above: &Records, cursor: PagingToken) -> bool {
        for record in above {
            let token = match record {
                Ok(received) => Some(received.trade.token),
                Err(refused) => refused.token,
            };
            if token.is_some_and(|token| token >= cursor) {
                return true;
            }
            if record.is_ok() || !self.refused.iter().any(|refused| refused.token == token) {
                return false;
            }
        }
        false
    }

    /// Place below which the next page begins, or `None` if this one is empty.
    pub(super) fn next_place(&self) -> Option<Place> {
        let trade = self.trades.first_key_value().map(|(token, _)| Place::Trade(*token));
        trade.or_else(|| self.lowest().map(Place::Position))
    }
}

/// Reads the page below a place.
///
/// Horizon's pages go strictly down and are short only at the end of history. A page that does not, or that holds a
/// record that is no trade, was spoiled on its way and is requested again. If no attempt returns a sound page, the
/// union of all attempts counts. If that has no trade, and a record that is no trade lies far below, the records
/// upwards from there must confirm that nothing lies between.
///
/// A page below a trade is asked for with that trade. Behind a proxy, a server that is some ledgers behind the others
/// would leave out all that lies between: a page without the trade says nothing. `None` if none had it.
pub(super) async fn read(
    horizon: &HorizonClient,
    place: Place,
    AskedPage { attempts, limit }: AskedPage,
) -> Result<Option<Page>, HorizonError> {
    let ask = |cursor| horizon.trades_page(cursor, PageOrder::Descending, limit);
    let (cursor, mut union, mut asked) = (place.cursor(), Page::default(), 0);
    for _ in 0..attempts {
        let mut records = ask(place.asked()).await?;
        let is_full = is_full(&records, limit);
        if !place.is_reached(&mut records) {
            continue;
        }
        let is_sound = is_sound(&records, cursor);
        let mut page = Page::of(records, cursor);
        if is_sound && is_full {
            page.add_doubles(union);
            return Ok(Some(page));
        }
        // A short page claims that nothing lies below. Ask for that, to be sure.
        if is_sound {
            let below = page.lowest().or(cursor);
            let mut confirmed = 0;
            while confirmed < END_CONFIRMED && ask(below).await?.is_empty() {
                confirmed += 1;
            }
            if confirmed == END_CONFIRMED {
                page.is_last = true;
                page.add_doubles(union);
                return Ok(Some(page));
            }
            std::mem::swap(&mut union, &mut page); // a sound answer's version of a trade counts
        }
        union.absorb(page);
        asked += 1;
        if asked == ASKED_MAX {
            break;
        }
    }
    let doubt = || HorizonError::Unreadable("no page that can be believed".into());
    if let Some((lowest, cursor)) = union.far_below(cursor) {
        let above = horizon.trades_page(Some(lowest), PageOrder::Ascending, LIMIT_MAX).await?;
        return if union.is_confirmed_by(&above, cursor) { Ok(Some(union)) } else { Err(doubt()) };
    }
    match union.lowest() {
        Some(_) => Ok(Some(union)),
        None if asked == 0 => Ok(None),
        None => Err(doubt()),
    }
}

fn is_below(token: PagingToken, cursor: Option<PagingToken>) -> bool {
    cursor.is_none_or(|cursor| token < cursor)
}

fn is_full(records: &Records, limit: u32) -> bool {
    u32::saturating_from(records.len()) >= limit
}

/// Returns true if there are only trades, all below the cursor, each below the one before it.
fn is_sound(records: &Records, cursor: Option<PagingToken>) -> bool {
    let mut above = cursor;
    records.iter().all(|record| match record {
        Ok(received) => is_below(received.trade.token, above.replace(received.trade.token)),
        Err(_) => false,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{domain::test_support::address, horizon::wire};

    pub(crate) fn received(ledger: u32, order: i32) -> ReceivedTrade {
        let record = serde_json::json!({
            "paging_token": format!("{}-{order}", (i64::from(ledger) << 32) + 4097),
            "ledger_close_time": UnixSeconds(1_795_457_237).to_rfc3339(),
            "base_amount": "1.0", "base_asset_type": "native", "base_account": address(1),
            "counter_amount": "2.0", "counter_asset_type": "credit_alphanum4", "counter_asset_code": "TEA",
            "counter_asset_issuer": address(2), "counter_account": address(3), "base_is_seller": true,
            "price": {"n": "2", "d": "1"}
        });
        wire::trade(serde_json::to_vec(&record).unwrap().into(), None).unwrap()
    }

    fn token(ledger: u32) -> PagingToken {
        received(ledger, 0).trade.token
    }

    fn refused(ledger: u32) -> RecordError {
        RecordError { token: Some(token(ledger)), reason: "x".into(), raw: "{}".into() }
    }

    /// Makes trades in these ledgers, in this order.
    fn records(ledgers: &[u32]) -> Records {
        ledgers.iter().map(|ledger| Ok(received(*ledger, 0))).collect()
    }

    fn ledgers(page: &Page) -> Vec<u32> {
        page.trades.keys().map(|token| token.ledger()).collect()
    }

    #[test]
    fn a_sound_page_goes_strictly_down_from_its_cursor_and_holds_only_trades() {
        assert!(is_sound(&records(&[9, 8, 3]), Some(token(10))) && is_sound(&records(&[9, 8]), None));
        assert!(is_sound(&records(&[]), Some(token(10))));
        assert!(!is_sound(&records(&[10, 9]), Some(token(10))), "the cursor itself was not asked for");
        assert!(!is_sound(&records(&[9, 9]), None), "a repeat");
        assert!(!is_sound(&records(&[8, 9]), Some(token(10))), "out of order");
        assert!(!is_sound(&vec![Ok(received(9, 0)), Err(refused(8))], None), "a record that is no trade");
    }

    #[test]
    fn a_page_below_a_trade_must_hold_that_trade() {
        let place = Place::Trade(token(9));
        assert_eq!(place.asked(), Some(token(9).next()));
        let mut whole = records(&[9, 8, 7]);
        assert!(place.is_reached(&mut whole) && whole.len() == 2 && is_sound(&whole, place.cursor()));
        let mut spoilt = vec![Err(refused(9)), Ok(received(8, 0))];
        assert!(place.is_reached(&mut spoilt) && spoilt.len() == 1, "it was a trade in another answer");
        assert!(!place.is_reached(&mut records(&[7, 6])), "a server that is behind");
        for free in [Place::Top, Place::Position(token(9))] {
            assert!(free.is_reached(&mut records(&[7, 6])) && free.asked() == free.cursor());
        }
        assert_eq!(Page::of(records(&[9, 7]), None).next_place(), Some(Place::Trade(token(7))));
        assert_eq!(Page::of(vec![Err(refused(5))], None).next_place(), Some(Place::Position(token(5))));
    }

    #[test]
    fn a_page_is_full_with_all_the_records_that_were_asked_for() {
        let limit = usize::try_from(LIMIT_MAX).unwrap();
        let page = |count: usize| (0..count).map(|_| Err(refused(5))).collect::<Records>();
        assert!(is_full(&page(limit), LIMIT_MAX) && !is_full(&page(limit - 1), LIMIT_MAX));
        assert!(is_full(&page(2), 2) && !is_full(&page(1), 2));
    }

    #[test]
    fn a_page_holds_what_lies_below_its_cursor_and_begins_the_next_at_its_lowest_trade() {
        let mut mixed = records(&[11, 10, 9, 7]);
        mixed.extend([Err(refused(8)), Err(refused(5))]);
        let page = Page::of(mixed, Some(token(10)));
        assert_eq!((ledgers(&page), page.refused.len(), page.is_last), (vec![7, 9], 2, false));
        assert_eq!(page.lowest(), Some(token(7)), "a record that is no trade may have a false position");
        let odd = Page::of(vec![Err(refused(8)), Err(refused(5)), Err(refused(6))], None);
        assert_eq!(odd.lowest(), Some(token(5)), "there is no trade to go by");
        assert_eq!(Page::default().lowest(), None);
    }

    #[test]
    fn another_answer_adds_its_trades_and_replaces_spoiled_records() {
        let mut union = Page::of(vec![Ok(received(9, 0)), Err(refused(8)), Err(refused(6))], None);
        union.absorb(Page::of(vec![Ok(received(8, 0)), Err(refused(7))], None));
        assert_eq!(ledgers(&union), [8, 9]);
        let refused: Vec<_> = union.refused.iter().filter_map(|refused| refused.token).collect();
        assert_eq!(refused, [token(6), token(7)]);
    }

    /// The same position with another amount.
    fn other(ledger: u32) -> ReceivedTrade {
        let mut other = received(ledger, 0);
        other.trade.price_n = 3;
        other
    }

    #[test]
    fn of_two_trades_with_one_position_the_first_counts_and_the_other_is_kept_as_its_double() {
        let price =
            |page: &Page| page.trades.values().map(|received| received.trade.price_n).collect::<Vec<_>>();
        let doubles =
            |page: &Page| page.doubles.iter().map(|double| double.trade.price_n).collect::<Vec<_>>();
        let twice =
            || Page::of(vec![Ok(received(9, 0)), Ok(other(9)), Ok(received(9, 0)), Ok(other(9))], None);
        assert_eq!((price(&twice()), doubles(&twice())), (vec![2], vec![3]), "a repeat is no double");
        let mut union = Page::of(vec![Ok(other(9)), Ok(other(8))], None);
        union.absorb(twice());
        assert_eq!((price(&union), doubles(&union)), (vec![3, 3], vec![2]));
        let mut sound = Page::of(records(&[9]), None);
        sound.add_doubles(union);
        assert_eq!((price(&sound), doubles(&sound)), (vec![2], vec![3]), "and no trade of another answer");
        let mut joined = Page::of(records(&[10]), None);
        joined.join(sound);
        assert_eq!(joined.doubles.len(), 1);
        joined.keep_from(token(9));
        joined.keep_below(token(10));
        assert_eq!((ledgers(&joined), joined.doubles.len()), (vec![9], 1));
        joined.keep_below(token(9));
        assert!(joined.doubles.is_empty());
    }

    #[test]
    fn a_record_that_is_no_trade_leads_far_down_only_if_nothing_lies_between() {
        let cursor = Some(token(1_000));
        let far = |ledgers: &[u32]| {
            Page::of(ledgers.iter().map(|ledger| Err(refused(*ledger))).collect(), cursor).far_below(cursor)
        };
        assert_eq!(far(&[1_000 - HOLE_LEDGERS_MIN]), None);
        assert_eq!(far(&[900, 799]), Some((token(799), token(1_000))));
        let with_a_trade = Page::of(vec![Ok(received(990, 0)), Err(refused(7))], cursor);
        assert_eq!(with_a_trade.far_below(cursor), None, "its lowest trade counts");
        let page = Page::of(vec![Err(refused(900)), Err(refused(700))], cursor);
        let confirmed = |above: Records| page.is_confirmed_by(&above, token(1_000));
        assert!(confirmed(vec![Err(refused(900)), Ok(received(1_000, 0))]));
        assert!(confirmed(records(&[1_001])) && confirmed(vec![Err(refused(900)), Err(refused(1_000))]));
        assert!(!confirmed(records(&[999, 1_000])), "a trade between");
        assert!(!confirmed(vec![Err(refused(800)), Ok(received(1_000, 0))]), "a record that the page lacks");
        assert!(!confirmed(vec![Err(refused(900))]) && !confirmed(Vec::new()), "the page does not go so far");
    }

    #[test]
    fn a_page_is_cut_at_a_trade_and_shows_what_lies_below_it_if_it_goes_further() {
        let page = |is_last| Page { is_last, ..Page::of(records(&[9, 8, 7]), None) };
        let mut below = page(false);
        assert!(below.reaches_below(token(8)) && !below.reaches_below(token(7)));
        assert!(page(true).reaches_below(token(7)), "nothing lies below");
        below.keep_below(token(8));
        assert_eq!(ledgers(&below), [7]);
        let mut above = page(true);
        above.keep_from(token(8));
        assert_eq!((ledgers(&above), above.is_last), (vec![8, 9], false));
    }

    #[test]
    fn the_page_below_decides_whether_both_are_the_last() {
        let mut page = Page::of(records(&[9, 8]), None);
        let mut below = Page::of(vec![Ok(received(7, 0)), Err(refused(6))], None);
        below.is_last = true;
        page.join(below);
        assert_eq!((ledgers(&page), page.refused.len(), page.is_last), (vec![7, 8, 9], 1, true));
    }
}
