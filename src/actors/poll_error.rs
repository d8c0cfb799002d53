//! Why something that is read from Horizon and stored could not be.

use std::time::Duration;

use crate::{db::DbError, horizon::HorizonError};

/// Why a step of polling failed. The next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// Horizon does not tell.
    #[error(transparent)]
    Horizon(#[from] HorizonError),
    /// The database does not take it.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl PollError {
    /// The wait that Horizon asked for.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Horizon(error) => error.retry_after(),
            Self::Database(_) => None,
        }
    }
}
