//! Why reading history stopped.

use crate::{
    actors::{network_check::Unusable, trade_writer::NotWritten},
    db::DbError,
    horizon::HorizonError,
};

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    /// Horizon no longer has what lies below.
    #[error("horizon has no older history")]
    BeforeHistory,
    /// Horizon serves another network, or does not tell which.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    #[error(transparent)]
    Horizon(#[from] HorizonError),
    #[error(transparent)]
    NotWritten(#[from] NotWritten),
}

impl From<DbError> for Stop {
    fn from(error: DbError) -> Self {
        Self::NotWritten(error.into())
    }
}
