//! Pages of trades from new to old, and what may be believed of them.

use std::collections::BTreeMap;

use crate::{
    domain::{cursor::PagingToken, instant::Second},
    horizon::{
        HorizonClient, HorizonError,
        client::{LIMIT_MAX, Order},
        wire::{Received, Refused},
    },
};

/// A page that looks wrong is asked for so often.
const ASKED_MAX: u32 = 3;

/// That nothing lies below is asked so often: it would mean that all of history is held.
const END_CONFIRMED: u32 = 2;

type Records = Vec<Result<Received, Refused>>;

/// Trades directly below a cursor, whatever order and however often they came in.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// By their place.
    pub(super) trades: BTreeMap<PagingToken, Received>,
    /// Records that are no trades.
    pub(super) refused: Vec<Refused>,
    /// Nothing lies below.
    pub(super) is_last: bool,
}

impl Page {
    /// The records of an answer that are below the cursor; others were not asked for.
    fn of(records: Records, cursor: Option<PagingToken>) -> Self {
        let mut page = Self::default();
        for record in records {
            match record {
                Ok(received) if is_below(received.trade.token, cursor) => {
                    page.trades.insert(received.trade.token, received);
                }
                Ok(_) => {}
                Err(refused) => page.refused.push(refused),
            }
        }
        page
    }

    /// Takes in what another answer to the same question held.
    fn absorb(&mut self, other: Self) {
        self.trades.extend(other.trades);
        self.refused.extend(other.refused);
        // What one answer spoiled and another did not was never wrong.
        let trades = &self.trades;
        self.refused.retain(|record| record.token.is_none_or(|token| !trades.contains_key(&token)));
    }

    /// Adds the page that lies directly below.
    pub(super) fn join(&mut self, below: Self) {
        self.trades.extend(below.trades);
        self.refused.extend(below.refused);
        self.is_last = below.is_last;
    }

    /// Ledger and close time of each trade.
    pub(super) fn times(&self) -> impl Iterator<Item = (u32, Second)> {
        self.trades.iter().map(|(token, received)| (token.ledger(), received.trade.closed_at))
    }

    /// Where the next page begins. A record that is no trade tells it only where nothing better does: it would come
    /// again on the next page, but a false place would leave out all that lies between.
    pub(super) fn lowest(&self) -> Option<PagingToken> {
        let trade = self.trades.first_key_value().map(|(token, _)| *token);
        trade.or_else(|| self.refused.iter().filter_map(|refused| refused.token).min())
    }
}

/// Reads the page below `cursor`; none is the newest.
///
/// Horizon's pages go strictly down and are short only at the end of history. One that is not so, or that holds what is
/// no trade, was spoiled on its way: it is asked for again, and if no answer is as it should be, what any of them holds
/// counts.
pub(super) async fn read(horizon: &HorizonClient, cursor: Option<PagingToken>) -> Result<Page, HorizonError> {
    let ask = |cursor| horizon.trades_page(cursor, Order::Descending, LIMIT_MAX);
    let mut union = Page::default();
    for _ in 0..ASKED_MAX {
        let records = ask(cursor).await?;
        let (is_sound, is_full) = (is_sound(&records, cursor), is_full(&records));
        let mut page = Page::of(records, cursor);
        if is_sound && is_full {
            return Ok(page);
        }
        if is_sound {
            let below = page.lowest().or(cursor);
            let mut confirmed = 0;
            while confirmed < END_CONFIRMED && ask(below).await?.is_empty() {
                confirmed += 1;
            }
            if confirmed == END_CONFIRMED {
                page.is_last = true;
                return Ok(page);
            }
        }
        union.absorb(page);
    }
    match union.lowest() {
        Some(_) => Ok(union),
        None => Err(HorizonError::Unreadable("no page that can be believed".into())),
    }
}

fn is_below(token: PagingToken, cursor: Option<PagingToken>) -> bool {
    cursor.is_none_or(|cursor| token < cursor)
}

fn is_full(records: &Records) -> bool {
    u32::try_from(records.len()).is_ok_and(|count| count >= LIMIT_MAX)
}

/// Only trades, all below the cursor, each below the one before it.
fn is_sound(records: &Records, cursor: Option<PagingToken>) -> bool {
    let mut above = cursor;
    records.iter().all(|record| match record {
        Ok(received) => is_below(received.trade.token, above.replace(received.trade.token)),
        Err(_) => false,
    })
}
