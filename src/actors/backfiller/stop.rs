//! Why reading history stopped.

use super::end::EndDoubt;
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
    /// Horizon says that its history ends here, and other things that are known contradict it.
    #[error("horizon gave an empty page in the middle of its history: {0}")]
    End(EndDoubt),
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
