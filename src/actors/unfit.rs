//! The end of a process whose database is not the one of its start. Only a new start helps: it creates the tables, or
//! refuses the database.

use std::sync::Arc;

use tokio::sync::watch;

use crate::db::{DbError, fault::Fault};

/// Reason for the end. The text says what the next start does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitError {
    /// The tables are missing.
    #[error(
        "the database has no ticker tables any more: the next start creates them and reads history again"
    )]
    NoTables,
    /// Other tables are in place of those of the start.
    #[error("the database was emptied, replaced or started over: the next start continues with its tables")]
    Replaced,
    /// The database holds another network. Holds the text of the error.
    #[error("{0}")]
    OtherNetwork(String),
}

impl UnfitError {
    /// Returns the reason that an error shows; none if this process may go on.
    #[must_use]
    pub fn shown_by(error: &DbError) -> Option<Self> {
        match error.fault() {
            Fault::NoTables => Some(Self::NoTables),
            Fault::Replaced => Some(Self::Replaced),
            Fault::OtherNetwork => Some(Self::OtherNetwork(error.to_string())),
            _ => None,
        }
    }
}

/// Report of the lease keeper to the daemon, which then ends. All clones are the same report.
#[derive(Clone, Debug)]
pub struct UnfitReport(Arc<watch::Sender<Option<UnfitError>>>);

impl Default for UnfitReport {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl UnfitReport {
    /// Makes the daemon end.
    pub fn report(&self, unfit: UnfitError) {
        self.0.send_replace(Some(unfit));
    }

    /// Waits until the database is reported as unfit.
    pub async fn reported(&self) -> UnfitError {
        let mut reports = self.0.subscribe();
        loop {
            let unfit = reports.borrow_and_update().clone();
            if let Some(unfit) = unfit {
                return unfit;
            }
            if reports.changed().await.is_err() {
                std::future::pending::<()>().await; // never: this report holds the sender
            }
        }
    }
}
