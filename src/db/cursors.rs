//! Cursors: the positions up to which history is stored. They move by compare-and-set, in the transaction of their
//! rows.

use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};
use tracing::warn;

use super::{Database, DbError};
use crate::domain::cursor::PagingToken;

/// A step of a cursor.
#[derive(Clone, Debug)]
pub struct CursorMove {
    /// Name of the cursor.
    pub name: String,
    /// Position before the step; none for a cursor that has never moved.
    pub expected: Option<PagingToken>,
    /// Position after the step.
    pub to: PagingToken,
}

impl Database {
    /// Returns the position of a cursor, or none before its first move.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn cursor(&self, name: &str) -> Result<Option<PagingToken>, DbError> {
        let row = self
            .bounded(async {
                let sql = include_str!("sql/cursor/get.sql");
                Ok(self.client().await?.query_typed_opt(sql, &[(&name, Type::TEXT)]).await?)
            })
            .await?;
        let token: Option<String> = row.map(|row| row.try_get(0)).transpose()?.flatten();
        let parse =
            |text: String| text.parse().map_err(|error| DbError::Corrupt(format!("cursor {name}: {error}")));
        token.map(parse).transpose()
    }
}

/// Moves a cursor. Fails with [`DbError::CursorMoved`] if it is not at the expected position.
pub(super) async fn advance(transaction: &Transaction<'_>, cursor: &CursorMove) -> Result<(), DbError> {
    let (to, expected) = (cursor.to.to_string(), cursor.expected.map(|token| token.to_string()));
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&cursor.name, Type::TEXT), (&to, Type::TEXT), (&expected, Type::TEXT)];
    let moved = transaction.query_typed_opt(include_str!("sql/cursor/move.sql"), &params).await?;
    let row = moved.ok_or_else(|| DbError::CursorMoved { name: cursor.name.clone() })?;
    if row.try_get(0)? {
        warn!(cursor = %cursor.name, token = to, "the row of the cursor was missing and was created again");
    }
    Ok(())
}
