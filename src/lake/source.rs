//! The place of a lake: a directory or a server.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{LakeError, directory, http::HttpLake, listing};
use crate::domain::shown_url::shown_url;

/// Place of a lake.
pub(super) enum Source {
    /// Directory of this machine.
    Directory { path: PathBuf, shown: String },
    /// Server, asked over HTTP or HTTPS.
    Http(HttpLake),
}

impl Source {
    pub(super) fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, LakeError> {
        match url.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => {
                Ok(Self::Directory { path: PathBuf::from(path), shown: url.to_owned() })
            }
            Some(_) => Err(LakeError::Setup("a file URL needs an absolute path: file:///…".to_owned())),
            None => HttpLake::new(url, shown_url(url), ca_file).map(Self::Http),
        }
    }

    pub(super) fn shown(&self) -> &str {
        match self {
            Self::Directory { shown, .. } => shown,
            Self::Http(http) => http.shown(),
        }
    }

    /// Fetches an object. `None` if there is none with this key.
    pub(super) async fn fetch(&self, key: &str) -> Result<Option<Bytes>, LakeError> {
        match self {
            Self::Directory { path, .. } => directory::fetch(path.join(key)).await,
            Self::Http(http) => http.fetch(key).await,
        }
    }

    /// True if there is an object with this key.
    pub(super) async fn has(&self, key: &str) -> Result<bool, LakeError> {
        match self {
            Self::Directory { path, .. } => directory::has(path.join(key)).await,
            Self::Http(http) => http.has(key).await,
        }
    }

    /// Newest ledger that a listing shows. `None` without a listing or an object.
    pub(super) async fn listed_newest(&self) -> Result<Option<u32>, LakeError> {
        match self {
            Self::Directory { path, .. } => directory::newest(path.clone()).await,
            Self::Http(http) => listing::newest(http).await,
        }
    }
}
