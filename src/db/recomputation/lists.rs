//! All rows of assets, markets and books as of one moment, for the self-audit.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::{Audited, Database, DbError, Later, assets, later, rows::LIMITS, transaction};
use crate::{
    audit::lists::ExpectedLists,
    db::{books, listing},
    domain::windows::MarketId,
};

/// Result of reading the lists.
#[derive(Debug)]
pub enum Listed {
    /// All rows.
    Lists(Box<ExpectedLists>),
    /// Reason why the rows at that `seq` are not known. Retry with a newer publication.
    Missed(&'static str),
}

impl Database {
    /// Reads all rows of assets, markets and books as of a publication. Names the books that changed since.
    ///
    /// # Errors
    ///
    /// Any error of the connection, a time-out among them.
    pub async fn listed(&self, audited: Audited) -> Result<Listed, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, LIMITS).await?;
        let later = match later(&transaction, audited.seq).await? {
            Ok(later) if later.has_others => {
                return Ok(Listed::Missed("assets changed since the publication, or books were removed"));
            }
            Ok(later) => later,
            Err(missed) => return Ok(Listed::Missed(missed)),
        };
        let file = assets(&transaction).await?;
        let listed = listing::read(&transaction, None).await?;
        let markets = transaction.query_typed(include_str!("../sql/markets/all.sql"), &[]).await?;
        let books = transaction.query_typed(include_str!("../sql/books/all.sql"), &[]).await?;
        let lists = ExpectedLists {
            file,
            assets: listed.into_iter().filter_map(|(id, asset)| Some((id, asset?))).collect(),
            markets: markets
                .iter()
                .map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?))))
                .collect::<Result<_, DbError>>()?,
            books: books.iter().map(books::book).collect::<Result<_, DbError>>()?,
            changed_books: changed_books(&transaction, &later).await?,
        };
        transaction.commit().await?;
        Ok(Listed::Lists(Box::new(lists)))
    }
}

/// Returns the markets whose books changed after the publication.
async fn changed_books(transaction: &Transaction<'_>, later: &Later) -> Result<BTreeSet<MarketId>, DbError> {
    let Some((first, last)) = later.books else { return Ok(BTreeSet::new()) };
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&first, Type::INT8), (&last, Type::INT8)];
    let rows = transaction.query_typed(include_str!("../sql/books/markets_changed.sql"), &params).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
