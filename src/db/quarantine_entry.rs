//! A record on its way into quarantine.

use bytes::Bytes;

use crate::domain::cursor::PagingToken;

/// Largest number of bytes stored of a record.
pub(super) const RAW_BYTES_MAX: usize = 64 * 1024;

/// A record that could not be stored.
#[derive(Clone, Debug)]
pub struct QuarantineEntry {
    /// Source of the record, such as `stream`.
    pub source: &'static str,
    /// Paging token, if it could be decoded.
    pub token: Option<PagingToken>,
    /// Reason for which the record could not be stored.
    pub reason: String,
    /// Bytes of the record, as received.
    pub raw: Bytes,
}
