//! Error of reading history.

use super::end::HistoryEndError;
use crate::{
    actors::{network_check::NetworkError, trade_writer::WriteError},
    db::DbError,
    horizon::HorizonError,
    lake::LakeError,
};

/// Error of reading history.
#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryError {
    /// Horizon no longer has the ledgers below.
    #[error("horizon has no older history")]
    BeforeHistory,
    /// Horizon's history seems to end here, but there is evidence against it.
    #[error("horizon gave an empty page in the middle of its history: {0}")]
    End(HistoryEndError),
    /// Horizon's network is wrong or could not be checked.
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Horizon(#[from] HorizonError),
    /// The lake cannot be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Several ledgers in a row have other hashes than at Horizon.
    #[error("the lake's ledgers have other hashes than Horizon's: one of them is not of this network")]
    OtherHashes,
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<DbError> for HistoryError {
    fn from(error: DbError) -> Self {
        Self::Write(error.into())
    }
}
