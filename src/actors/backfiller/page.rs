//! Pages of trades from new to old, read until they can be trusted.

use std::collections::{BTreeMap, btree_map::Entry};

use super::holes::HOLE_LEDGERS_MIN;
use crate::{
    domain::{conversions::SaturatingFrom, coverage::ClosedLedger, cursor::PagingToken},
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

/// Most trades of one page that are confirmed because they lie far below their neighbour. A network without many
/// trades has many such places.
const JUMPS_CONFIRMED_MAX: usize = 10;
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
    pub(super) fn times(&self) -> impl Iterator<Item = ClosedLedger> {
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

    /// Returns neighbouring positions that lie so far apart that the lower trade may be a false one, from the cursor
    /// down: the upper and the lower one.
    fn jumps(&self, cursor: Option<PagingToken>) -> Vec<(PagingToken, PagingToken)> {
        let places: Vec<PagingToken> = cursor.into_iter().chain(self.trades.keys().rev().copied()).collect();
        let neighbours = places.iter().copied().zip(places.iter().copied().skip(1));
        let is_far = |(above, below): &(PagingToken, PagingToken)| {
            above.ledger().saturating_sub(below.ledger()) > HOLE_LEDGERS_MIN
        };
        neighbours.filter(is_far).collect()
    }

    /// Returns true if the records directly above a position of this page are its own, up to the cursor.
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
/// union of all attempts counts. If a trade of that lies far below its neighbour, the records upwards from there
/// must confirm that nothing lies between, or the page ends above. So must they for a record that is no trade, if
/// the union has no trade.
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
    cut_at_jump(horizon, &mut union, cursor).await?;
    match union.lowest() {
        Some(_) => Ok(Some(union)),
        None if asked == 0 => Ok(None),
        None => Err(doubt()),
    }
}

/// Ends a page above the first trade that lies far below its neighbour and that the trades above it do not confirm.
/// Otherwise all ledgers between would count as held.
async fn cut_at_jump(
    horizon: &HorizonClient,
    page: &mut Page,
    cursor: Option<PagingToken>,
) -> Result<(), HorizonError> {
    for (number, (above, below)) in page.jumps(cursor).into_iter().enumerate() {
        let is_confirmed = number < JUMPS_CONFIRMED_MAX && {
            let records = horizon.trades_page(Some(below), PageOrder::Ascending, LIMIT_MAX).await?;
            page.is_confirmed_by(&records, above)
        };
        if !is_confirmed {
            page.keep_from(above);
            return Ok(());
        }
    }
    Ok(())
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
pub(super) mod tests;
