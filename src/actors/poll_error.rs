//! Error of a step that reads from Horizon and stores the result.

use std::time::Duration;

use crate::{db::DbError, horizon::HorizonError};

/// Error of a polling step. The next step tries again.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The request to Horizon failed.
    #[error(transparent)]
    Horizon(#[from] HorizonError),
    /// The database failed or refused the data.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl PollError {
    /// Returns the wait that Horizon asked for, if any.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Horizon(error) => error.retry_after(),
            Self::Database(_) => None,
        }
    }

    /// Returns true if another replica has taken the lease. A take-over is no failure of the work that it ends.
    #[must_use]
    pub const fn is_take_over(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_take_over())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_lease_differs_from_failures_of_the_database() {
        assert!(PollError::Database(DbError::LeaseLost).is_take_over());
        assert!(!PollError::Database(DbError::Silent(Duration::ZERO)).is_take_over());
    }
}
