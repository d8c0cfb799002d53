//! Reading of order books out of the database: bounded, with a deadline, so that no other answer waits for it.

use std::{sync::Arc, time::Duration};

use ticker_formats::listings::orderbook::QuotedLevels;
use tokio::sync::Semaphore;

use super::{document, error::ApiError, views::PinnedView};
use crate::db::Database;

/// Books that are read at the same time. A few connections of the pool, so that no other work waits for them.
const AT_ONCE: usize = 2;
/// Longest time that a reader waits for a book.
const DEADLINE: Duration = Duration::from_secs(3);
/// Reader of the levels of books.
#[derive(Clone)]
pub struct BookReader {
    /// `None` where there is no database: in tests of other answers.
    database: Option<Database>,
    turns: Arc<Semaphore>,
}

impl BookReader {
    /// Reader of this database.
    #[must_use]
    pub fn new(database: Option<Database>) -> Self {
        Self { database, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The best levels of the market of this name, at most `a_side` on each side.
    pub(super) async fn read(
        &self,
        view: &PinnedView,
        name: &str,
        a_side: usize,
    ) -> Result<QuotedLevels, ApiError> {
        let market = document::market(&view.listing, name)?;
        let reading = async {
            let _turn = self.turns.acquire().await.map_err(|_| ApiError::Busy)?;
            let database = self.database.as_ref().ok_or(ApiError::Busy)?;
            database.book_levels(market.id()).await.map_err(|_| ApiError::Database)
        };
        let read = tokio::time::timeout(DEADLINE, reading).await.map_err(|_| ApiError::Busy)??;
        let (book, fetched_at) = read.ok_or_else(|| {
            ApiError::NotFound("the order book of this market has not been read yet".to_owned())
        })?;
        Ok(QuotedLevels::of(&market, &book, fetched_at).cut(a_side))
    }
}
