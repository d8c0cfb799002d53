//! The source of ledger metadata: a directory, a server, or Stellar RPC.

use std::{ops::RangeInclusive, path::PathBuf};

use bytes::Bytes;
use ledger_metadata::Manifest;

use super::{LakeAddress, LakeError, LakeSettings, directory, http::HttpLake, listing, rpc::RpcClient};
use crate::domain::shown_url::shown_url;

/// Source of ledger metadata, and the way to read it.
pub(super) enum Source {
    /// Directory of this machine.
    Directory { path: PathBuf, shown: String },
    /// Server of objects, asked over HTTP or HTTPS.
    Http(HttpLake),
    /// Stellar RPC, which gives ledgers one by one.
    Rpc(RpcClient),
}

impl Source {
    pub(super) fn new(settings: &LakeSettings) -> Result<Self, LakeError> {
        let http = |url: &str| {
            HttpLake::new(url, shown_url(url), settings.ca_file.as_deref(), settings.body_timeout)
        };
        let url = match &settings.address {
            LakeAddress::Lake(url) => url,
            LakeAddress::Rpc(url) => return http(url).map(RpcClient::new).map(Self::Rpc),
        };
        match url.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => {
                Ok(Self::Directory { path: PathBuf::from(path), shown: url.clone() })
            }
            Some(_) => Err(LakeError::Setup("a file URL needs an absolute path: file:///…".to_owned())),
            None => http(url).map(Self::Http),
        }
    }

    pub(super) fn shown(&self) -> &str {
        match self {
            Self::Directory { shown, .. } => shown,
            Self::Http(http) => http.shown(),
            Self::Rpc(rpc) => rpc.shown(),
        }
    }

    /// True for Stellar RPC.
    pub(super) const fn is_rpc(&self) -> bool {
        matches!(self, Self::Rpc(_))
    }

    /// Fetches ledgers of RPC in one request, by their numbers. It may have fewer of them. A lake has only objects.
    pub(super) async fn ledgers(&self, from: u32, to: u32) -> Result<Vec<(u32, Bytes)>, LakeError> {
        match self {
            Self::Rpc(rpc) => rpc.ledgers(from, to).await,
            Self::Directory { .. } | Self::Http(_) => Ok(Vec::new()),
        }
    }

    /// Reads the manifest. RPC has none, and says its network.
    pub(super) async fn manifest(&self) -> Result<Manifest, LakeError> {
        if let Self::Rpc(rpc) = self {
            return rpc.passphrase().await.map(Manifest::of_single_ledgers);
        }
        let bytes = self.fetch(Manifest::KEY).await?.ok_or(LakeError::NoManifest)?;
        Ok(Manifest::parse(&bytes)?)
    }

    /// Fetches the object that holds a ledger. `None` if there is none.
    pub(super) async fn object(&self, manifest: &Manifest, ledger: u32) -> Result<Option<Bytes>, LakeError> {
        if let Self::Rpc(rpc) = self {
            return rpc.ledger(ledger).await;
        }
        for key in manifest.keys_of(ledger) {
            if let Some(bytes) = self.or_missing(self.fetch(&key).await).await? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// True if there is an object that holds a ledger.
    pub(super) async fn has(&self, manifest: &Manifest, ledger: u32) -> Result<bool, LakeError> {
        if let Some(range) = self.range().await? {
            return Ok(range.contains(&ledger));
        }
        for key in manifest.keys_of(ledger) {
            let has = match self {
                Self::Directory { path, .. } => directory::has(path.join(key)).await?,
                Self::Http(http) => {
                    let has = http.has(&key).await.map(|has| has.then_some(()));
                    self.or_missing(has).await?.is_some()
                }
                Self::Rpc(_) => false,
            };
            if has {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ledgers that RPC has. `None` for a lake, which does not say.
    pub(super) async fn range(&self) -> Result<Option<RangeInclusive<u32>>, LakeError> {
        match self {
            Self::Rpc(rpc) => {
                rpc.health().await.map(|health| Some(health.oldest_ledger..=health.latest_ledger))
            }
            Self::Directory { .. } | Self::Http(_) => Ok(None),
        }
    }

    /// Newest ledger that a listing shows. `None` without a listing or an object.
    pub(super) async fn listed_newest(&self) -> Result<Option<u32>, LakeError> {
        match self {
            Self::Directory { path, .. } => directory::newest(path.clone()).await,
            Self::Http(http) => listing::newest(http).await,
            Self::Rpc(_) => Ok(None),
        }
    }

    /// Takes 403 for a missing object while the manifest can be read: S3 answers so in a
    /// bucket that may be read and not listed.
    async fn or_missing<T>(&self, answer: Result<Option<T>, LakeError>) -> Result<Option<T>, LakeError> {
        match answer {
            Err(LakeError::Status { status: 403, .. }) if self.fetch(Manifest::KEY).await?.is_some() => {
                Ok(None)
            }
            answer => answer,
        }
    }

    /// Fetches an object. `None` if there is none with this key.
    async fn fetch(&self, key: &str) -> Result<Option<Bytes>, LakeError> {
        match self {
            Self::Directory { path, .. } => directory::fetch(path.join(key)).await,
            Self::Http(http) => http.fetch(key).await,
            Self::Rpc(_) => Ok(None),
        }
    }
}
