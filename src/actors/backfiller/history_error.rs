//! Errors of reading history.

use crate::{
    actors::{lake_reader::AheadOfClockError, network_check::NetworkError, trade_writer::WriteError},
    db::DbError,
    domain::cursor::PagingToken,
    horizon::HorizonError,
    lake::LakeError,
};

/// Error of reading history.
#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryError {
    /// Horizon no longer has the ledgers below.
    #[error("Horizon has no older history")]
    BeforeHistory,
    /// Horizon's history seems to end here, but there is evidence against it.
    #[error("Horizon gave an empty page in the middle of its history: {0}")]
    End(HistoryEndError),
    /// Horizon lacks a ledger between two trades.
    #[error(
        "Horizon lacks ledger {0}, though it has older trades: its history has a hole, or is still being loaded"
    )]
    Hole(u32),
    /// No page has the trade above it. Only ledgers below a known trade are sure to be complete.
    #[error(
        "no answer of Horizon has the trade above the page: the server that answers is behind, or lacks what is stored"
    )]
    Unreached,
    /// Horizon's newest ledger is more than a day ahead of our clock, and so is a trade.
    #[error("the clock of this machine is more than a day slow, or Horizon's is fast: a trade closed at {0}")]
    SlowClock(String),
    /// Horizon's network is wrong or could not be checked.
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Horizon(#[from] HorizonError),
    /// The lake cannot be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The clock does not allow a ledger of the lake.
    #[error(transparent)]
    Ahead(#[from] AheadOfClockError),
    /// Several ledgers in a row have other hashes than at Horizon.
    #[error("the lake's ledgers have other hashes than Horizon's: one of the two belongs to another network")]
    OtherHashes,
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl HistoryError {
    /// Returns true if ledgers of Horizon's history are missing, or seem to be.
    pub(super) const fn is_doubt(&self) -> bool {
        matches!(self, Self::End(_) | Self::Hole(_))
    }

    /// Returns true if Horizon failed.
    pub(super) const fn is_of_horizon(&self) -> bool {
        matches!(self, Self::Horizon(_) | Self::Network(NetworkError::Horizon(_)))
    }

    /// Returns true if a smaller page may succeed.
    pub(super) const fn is_of_a_page(&self) -> bool {
        matches!(self, Self::Horizon(_)) && self.is_of_a_place()
    }

    /// Returns true if this may be an error of one place in history, so that other places can be read.
    pub(super) const fn is_of_a_place(&self) -> bool {
        match self {
            Self::Hole(_) | Self::Unreached | Self::SlowClock(_) => true,
            Self::Horizon(error) => error.is_of_an_answer(),
            _ => false,
        }
    }
}

impl From<DbError> for HistoryError {
    fn from(error: DbError) -> Self {
        Self::Write(error.into())
    }
}

/// Evidence against the claim that no trade lies below a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HistoryEndError {
    /// The root names no oldest ledger, or one above the newest. There is no history yet.
    #[error("its root names no history (oldest ledger {elder}, newest {latest})")]
    NoHistory {
        /// `history_elder_ledger`
        elder: u32,
        /// `history_latest_ledger`
        latest: u32,
    },
    /// The server is far behind what its core or this database knows.
    #[error("its newest ledger is {latest}, far behind {known}: it is still ingesting")]
    Behind {
        /// `history_latest_ledger`
        latest: u32,
        /// `core_latest_ledger`, or the ledger of a trade that was read
        known: u32,
    },
    /// Read upwards from its oldest ledger, the server has an older trade.
    #[error("it has the older trade {0}")]
    ServerHasOlder(PagingToken),
    /// Read upwards from its oldest ledger, the server has no trade at all.
    #[error("it returned no trade from its oldest ledger on, although newer trades are stored")]
    NoTrades,
    /// Another server than that of the root answered.
    #[error("its root names ledger {0} as the oldest one, and the next answer came from a server without it")]
    OtherServer(u32),
    /// The server lacks a ledger between its oldest one and the oldest trade.
    #[error("it lacks ledger {0}, which lies above its oldest one")]
    Lacks(u32),
    /// A held trade is older, though within the server's range of ledgers.
    #[error("the older trade {0} is held")]
    HeldBelow(PagingToken),
}
