//! Errors of the API: reasons why a request gets no document.

use actix_web::{HttpResponse, http::StatusCode};

use crate::http::problem::problem;

/// Reason for which a request gets no document.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum ApiError {
    /// Parameter that is unknown or has a value that is not allowed.
    #[error("{0}")]
    BadParameter(String),
    /// Asset or market that never traded, or not in the last 7 days.
    #[error("{0}")]
    NotFound(String),
    /// Cursor of a view, or trades, that are not held any more.
    #[error("{0}")]
    Gone(String),
    /// Too many documents are being rendered.
    #[error("too many documents are being made; try again in a second")]
    Busy,
    /// The database does not answer a query for an order book.
    #[error("the order book cannot be read now; try again in a second")]
    BookUnreadable,
    /// Order book that no poll has read yet.
    #[error("the order book of this market has not been read yet; try again later")]
    BookNotRead,
    /// The database does not answer a query for candles.
    #[error("stored candles cannot be read now; try again in a second")]
    CandlesUnreadable,
    /// Failure of the compressor.
    #[error("the document could not be compressed")]
    Compression,
}

impl ApiError {
    /// Status of the answer.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::BadParameter(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Gone(_) => StatusCode::GONE,
            Self::Busy | Self::BookUnreadable | Self::BookNotRead | Self::CandlesUnreadable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Compression => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The error as problem+json.
    pub(super) fn response(&self) -> HttpResponse {
        problem(self.status(), &self.to_string())
    }
}
