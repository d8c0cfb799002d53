//! Settings of the sources of trades.

use super::{fault::ValueError, parse::http_base};
use crate::domain::ledger_source::LedgerSource;

/// Most objects that are fetched at once.
pub(super) const PARALLEL_MAX: u32 = 128;

/// Verification of a lake's ledgers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LakeVerify {
    /// Hashes of each ledger, the chain between them, and the hash of a newest ledger against Horizon's.
    Anchor,
    /// Hashes of each ledger, and the chain between them.
    Chain,
    /// Nothing. For lakes that tests have merged.
    Off,
}

/// Settings of the sources of trades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSources {
    /// Source of history.
    pub history: LedgerSource,
    /// Source of new trades.
    pub live: LedgerSource,
    /// URL of the lake; `None` for no lake. Set if a source is the lake.
    pub lake_url: Option<String>,
    /// URL of Stellar RPC; `None` for none. Set if a source is RPC.
    pub rpc_url: Option<String>,
    /// Objects that are fetched at once.
    pub lake_parallel: usize,
    /// Verification of the ledgers of the lake, and of those of RPC.
    pub lake_verify: LakeVerify,
}

pub(super) fn source(text: &str) -> Result<LedgerSource, ValueError> {
    match text {
        "horizon" => Ok(LedgerSource::Horizon),
        "lake" => Ok(LedgerSource::Lake),
        "rpc" => Ok(LedgerSource::Rpc),
        _ => Err(ValueError::UNPARSABLE),
    }
}

pub(super) fn verify(text: &str) -> Result<LakeVerify, ValueError> {
    match text {
        "anchor" => Ok(LakeVerify::Anchor),
        "chain" => Ok(LakeVerify::Chain),
        "off" => Ok(LakeVerify::Off),
        _ => Err(ValueError::UNPARSABLE),
    }
}

/// Parses the URL of a directory or of a server, and removes its trailing slash.
pub(super) fn lake_url(text: &str) -> Result<String, ValueError> {
    let Some(path) = text.strip_prefix("file://") else { return http_base(text) };
    if !path.starts_with('/') || path.contains('\0') {
        return Err(ValueError::unparsable("a file URL needs an absolute path: file:///directory"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lake_is_a_directory_or_a_server() {
        assert_eq!(lake_url("file:///var/lake/").unwrap(), "file:///var/lake");
        assert_eq!(lake_url("https://h/v1.1/ledgers/pubnet/").unwrap(), "https://h/v1.1/ledgers/pubnet");
        for wrong in ["file://lake", "/var/lake", "s3://bucket/lake", "https://u:p@h/lake", ""] {
            assert!(lake_url(wrong).is_err(), "{wrong}");
        }
    }
}
