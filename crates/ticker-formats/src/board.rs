//! The board: all markets of a view with their figures rounded as the page shows them.
//!
//! The list on the server, the feed of the page's script and the page of a market show the same rows.

mod address;
mod dollars;
mod feed;
mod figures;
mod live;
mod query;
mod row;
mod spark;

pub(crate) use dollars::DollarVolume;
pub use feed::{figures, names, names_from, sparks};
pub use live::{BoardChange, FollowedBoard};
pub use query::{BoardQuery, SORTS, Sort};
pub(crate) use query::{PAGE_ROWS, pages};
pub(crate) use row::ratio;
pub use row::{BoardRow, Flag, Flags};
pub(crate) use spark::points;
pub use spark::{LEVELS, Levels, letters, levels};

use crate::listings::{ListingView, MarketView};

/// All markets with a trade in the last 7 days, sorted by name, with what they show.
#[derive(Debug)]
pub struct Board {
    rows: Vec<BoardRow>,
    totals: Totals,
}

/// Sums over all markets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Volume of 24 hours in dollars.
    pub volume_usd: DollarVolume,
    /// Trades in 24 hours.
    pub trades: u64,
    /// Markets with a warning.
    pub warned: u64,
}

impl Board {
    /// Board of a view. Takes some microseconds per market: do not call it on a thread that readers wait for.
    #[must_use]
    pub fn of(view: &ListingView) -> Self {
        let markets = view.markets();
        let rows: Vec<BoardRow> = markets.iter().map(BoardRow::of).collect();
        let volume_usd = DollarVolume::of(&markets);
        let totals = rows.iter().fold(Totals { volume_usd, ..Totals::default() }, |totals, row| Totals {
            trades: totals.trades.saturating_add(row.trades),
            warned: totals.warned.saturating_add(row.flags.has_warning().into()),
            ..totals
        });
        Self { rows, totals }
    }

    /// Rows sorted by the markets' names.
    #[must_use]
    pub fn rows(&self) -> &[BoardRow] {
        &self.rows
    }

    /// Sums over all rows.
    #[must_use]
    pub(crate) const fn totals(&self) -> Totals {
        self.totals
    }

    /// Row of a market.
    #[must_use]
    pub fn row_of(&self, market: &MarketView<'_>) -> Option<&BoardRow> {
        self.rows.iter().find(|row| row.market == market.id())
    }
}
