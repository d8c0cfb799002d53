//! Data lakes of ledger metadata (SEP-54): a second source of the trades that Horizon serves.
//!
//! ```text
//! error      reasons why a lake or an object cannot be read
//! source     where the objects are: a directory, or a server
//! directory  objects as files
//! http       objects over HTTP and HTTPS
//! requests   the requests in which ledgers of the past are read
//! rpc        ledgers of Stellar RPC, one by one
//! listing    the newest object, out of a listing
//! search     the newest object, by asking for keys
//! decoders   the threads on which objects are decoded
//! ledgers    bytes of an object to verified ledgers with their trades
//! chain      the links between consecutive ledgers
//! ```
//!
//! Keys are computed from the manifest, so that reading needs no listing. What an object holds is verified before it is
//! believed ([`ledger_metadata`]); a ledger that fails is a value, never a panic.

mod chain;
mod decoders;
mod directory;
mod error;
mod http;
mod ledgers;
mod listing;
mod requests;
mod rpc;
mod search;
mod source;

use std::{
    cell::RefCell,
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use ledger_metadata::{Manifest, Network, Verification};
use metrics::counter;
use tracing::debug;

use crate::{domain::conversions::SaturatingFrom, outbound::retry::Retry};

pub use chain::{Link, LinkError};
use decoders::Object;
pub use error::LakeError;
pub use ledgers::{LakeTrade, RefusedLedger, RefusedTrade, VerifiedLedger};
use requests::Requests;
use source::Source;

/// First ledger of every network that a lake may hold.
pub const FIRST_LEDGER: u32 = 2;
/// Attempts to fetch an object, if the failures may pass.
const FETCHES_MAX: u32 = 4;
/// Attempts to fetch an object that holds something wrong. It may have been spoiled on its way, or be replaced now.
const DECODINGS_MAX: u32 = 2;
/// Ledgers that are read while earlier ones are stored, about 100 KB each.
const LEDGERS_AHEAD: usize = 64;

/// Age from which on the manifest is read again: the layout of a lake may change.
const MANIFEST_AGE_MAX: Duration = Duration::from_secs(60);
/// Longest time to read it again. Objects wait meanwhile.
const REREAD_MAX: Duration = Duration::from_secs(5);
/// Longest wait between two attempts. The caller retries as well, and takes over if the server asks for more.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);
/// Usual timeout for a whole object of a server.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Address of ledger metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LakeAddress {
    /// Data lake: a `file://` directory, or an http or https base URL, without a trailing slash.
    Lake(String),
    /// Stellar RPC: an http or https URL.
    Rpc(String),
}

/// Settings of a lake.
#[derive(Clone, Debug)]
pub struct LakeSettings {
    /// Address of the ledgers.
    pub address: LakeAddress,
    /// Passphrase of the network whose ledgers it must hold.
    pub passphrase: String,
    /// PEM file of further CA certificates to trust.
    pub ca_file: Option<PathBuf>,
    /// Objects that are fetched at once.
    pub parallel: usize,
    /// True if each ledger's hashes are verified.
    pub is_verified: bool,
    /// Timeout for a whole object of a server, even if its bytes keep dripping.
    pub body_timeout: Duration,
}

/// Reader of a lake. Created on the thread that uses it, because awc is not `Send`.
#[derive(Clone)]
pub struct Lake {
    source: Rc<Source>,
    passphrase: Rc<str>,
    verification: Verification,
    parallel: usize,
    manifest: Rc<RefCell<Option<KnownManifest>>>,
}

/// Manifest that was read and found to be of the right network.
#[derive(Clone)]
struct KnownManifest {
    manifest: Manifest,
    read_at: Instant,
}

/// Object of a lake, read.
#[derive(Debug)]
pub struct Batch {
    /// First ledger that belongs into the object.
    pub first: u32,
    /// Last ledger that belongs into the object.
    pub last: u32,
    /// Findings.
    pub content: Content,
    /// Time at which it was read.
    pub read_at: Instant,
}

/// Findings in the place of an object.
#[derive(Debug)]
pub enum Content {
    /// Nothing: no such object.
    Missing,
    /// An object that cannot be read, and the reason.
    Unreadable(String),
    /// The ledgers of the object in order, each verified or refused.
    Ledgers(Vec<Result<VerifiedLedger, RefusedLedger>>),
}

impl Lake {
    /// Creates a reader. Reads nothing yet.
    ///
    /// # Errors
    ///
    /// [`LakeError::Setup`] if the URL or the certificates are not usable.
    pub fn new(settings: &LakeSettings) -> Result<Self, LakeError> {
        Ok(Self {
            source: Rc::new(Source::new(settings)?),
            passphrase: settings.passphrase.as_str().into(),
            verification: if settings.is_verified { Verification::Full } else { Verification::Off },
            parallel: settings.parallel.max(1),
            manifest: Rc::default(),
        })
    }

    /// URL for logs, without secrets.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.source.shown()
    }

    /// True for Stellar RPC.
    #[must_use]
    pub fn is_rpc(&self) -> bool {
        self.source.is_rpc()
    }

    /// Newest ledger that RPC says it has. `None` for a lake, which does not say, and costs no request.
    ///
    /// # Errors
    ///
    /// [`LakeError`] if RPC cannot be reached.
    pub async fn announced_newest(&self) -> Result<Option<u32>, LakeError> {
        Ok(retried(|| self.source.range()).await?.map(|range| *range.end()))
    }

    /// Reads the manifest, unless it was read a moment ago, and checks its network. If it cannot be read again, the one
    /// that was read before counts.
    ///
    /// # Errors
    ///
    /// [`LakeError`] if it cannot be read, describes a lake that cannot be read, or names another network.
    pub async fn manifest(&self) -> Result<Manifest, LakeError> {
        let known = self.manifest.borrow().clone();
        let manifest = match known {
            None => retried(|| self.source.manifest()).await?,
            Some(known) if known.read_at.elapsed() < MANIFEST_AGE_MAX => return Ok(known.manifest),
            Some(known) => {
                self.keep(known.manifest.clone()); // nobody else asks meanwhile
                match tokio::time::timeout(REREAD_MAX, self.source.manifest()).await {
                    Ok(Ok(manifest)) => manifest,
                    Ok(Err(_)) | Err(_) => {
                        debug!("the lake's manifest cannot be read again");
                        return Ok(known.manifest);
                    }
                }
            }
        };
        if *manifest.passphrase != *self.passphrase {
            *self.manifest.borrow_mut() = None;
            return Err(LakeError::OtherNetwork {
                found: manifest.passphrase,
                expected: self.passphrase.to_string(),
            });
        }
        self.keep(manifest.clone());
        Ok(manifest)
    }

    /// Asks for the manifest, even if it was read a moment ago. While a lake has none, nothing says which of its
    /// objects exist: its directory may not be mounted.
    ///
    /// # Errors
    ///
    /// [`LakeError`] if it cannot be read.
    pub async fn check_presence(&self) -> Result<(), LakeError> {
        retried(|| self.source.manifest()).await.map(|_| ())
    }

    fn keep(&self, manifest: Manifest) {
        *self.manifest.borrow_mut() = Some(KnownManifest { manifest, read_at: Instant::now() });
    }

    /// Reads the object that holds this ledger, and verifies its ledgers.
    ///
    /// # Errors
    ///
    /// [`LakeError`] if the lake cannot be reached after several attempts.
    pub async fn read(&self, ledger: u32) -> Result<Batch, LakeError> {
        self.read_by(&self.manifest().await?, ledger).await
    }

    async fn read_by(&self, manifest: &Manifest, ledger: u32) -> Result<Batch, LakeError> {
        let (first, last) = manifest.batch_of(ledger);
        let mut content = Content::Missing;
        for _ in 0..DECODINGS_MAX {
            content = match self.fetched(manifest, ledger).await? {
                None => Content::Missing,
                Some(bytes) => self.decoded(bytes, first, last).await,
            };
            if content.is_sound() {
                break;
            }
        }
        count(&content);
        Ok(Batch { first, last, content, read_at: Instant::now() })
    }

    /// Reads the objects that hold the ledgers from `to` down to `from`, the newest first. Several are fetched at once.
    pub async fn descending(
        &self,
        from: u32,
        to: u32,
    ) -> Result<impl Stream<Item = Result<Batch, LakeError>> + '_, LakeError> {
        let manifest = self.manifest().await?;
        let Requests { size, at_once } = if self.source.is_rpc() {
            Requests::of_rpc(self.parallel)
        } else {
            Requests::of_objects(manifest.ledgers_per_batch(), self.parallel)
        };
        let lowest = from.max(FIRST_LEDGER);
        let starts = std::iter::successors(Some(to).filter(|to| *to >= from), move |to| {
            (to - to % size).checked_sub(1).filter(|below| *below >= lowest)
        });
        // The same manifest for all: after a change the objects would overlap or leave ledgers out.
        let manifest = Rc::new(manifest);
        let read = move |top: u32| {
            let manifest = Rc::clone(&manifest);
            async move { self.read_together(&manifest, (top - top % size).max(lowest), top).await }
        };
        Ok(stream::iter(starts).map(read).buffered(at_once).flat_map(stream::iter))
    }

    /// Reads the ledgers of one request, the newest first: an object, or some ledgers of RPC.
    async fn read_together(&self, manifest: &Manifest, from: u32, to: u32) -> Vec<Result<Batch, LakeError>> {
        if !self.source.is_rpc() {
            return vec![self.read_by(manifest, to).await];
        }
        let mut found = match retried(|| self.source.ledgers(from, to)).await {
            Err(error) if error.is_transient() => return vec![Err(error)],
            // If the request is refused, or lacks a ledger, each is asked for alone: then only that one is missing.
            found => found.unwrap_or_default(),
        };
        let mut batches = Vec::new();
        for ledger in (from..=to).rev() {
            let place = found.iter().position(|(sequence, _)| *sequence == ledger);
            let content = match place.map(|place| found.swap_remove(place)) {
                Some((_, bytes)) => self.decoded(counted(bytes), ledger, ledger).await,
                None => Content::Missing,
            };
            batches.push(if matches!(content, Content::Ledgers(_)) && content.is_sound() {
                count(&content);
                Ok(Batch { first: ledger, last: ledger, content, read_at: Instant::now() })
            } else {
                self.read_by(manifest, ledger).await
            });
        }
        batches
    }

    /// Objects that may be read ahead of their storage, in steps with [`Self::descending`].
    ///
    /// # Errors
    ///
    /// [`LakeError`] if the manifest cannot be read.
    pub async fn objects_ahead(&self) -> Result<usize, LakeError> {
        let size = usize::saturating_from(self.manifest().await?.ledgers_per_batch());
        Ok((LEDGERS_AHEAD / size.max(1)).max(1))
    }

    /// Newest ledger of the lake. Begins to look at `hint`; without one, a listing must say where. A hole above `hint`
    /// counts as the end if no listing shows more.
    ///
    /// # Errors
    ///
    /// [`LakeError`] if the lake cannot be reached, or has no object that can be found.
    pub async fn newest(&self, hint: Option<u32>) -> Result<u32, LakeError> {
        let manifest = self.manifest().await?;
        let size = manifest.ledgers_per_batch();
        if let Some(range) = retried(|| self.source.range()).await? {
            return Ok(*range.end());
        }
        let start = match hint {
            Some(hint) => hint,
            None => self.source.listed_newest().await?.ok_or(LakeError::NoStart)?,
        };
        // A single object that cannot be read must not end the search: at most it hides later ones.
        let has = async |index| match self.has(&manifest, index).await {
            Err(error) if index != start / size && error.may_be_of_object() => Ok(false),
            has => has,
        };
        let mut found = search::newest(start / size, &has).await?;
        // The end may be a hole. Where there is a listing, it shows later objects.
        if hint.is_some()
            && found.is_none_or(|found| found <= start / size)
            && let Ok(Some(listed)) = self.source.listed_newest().await
            && found.is_none_or(|found| found < listed / size)
            && has(listed / size).await?
        {
            found = Some(listed / size);
        }
        let last_of = |index: u32| manifest.batch_of(index.saturating_mul(size)).1;
        found.map(last_of).ok_or(LakeError::Empty { hint: start })
    }

    /// Newest ledger below `ledger`, and at least `from`, whose object exists. Looks in growing steps, so that a large
    /// hole costs few requests.
    ///
    /// # Errors
    ///
    /// [`LakeError`] if the lake cannot be reached.
    pub async fn newest_below(&self, ledger: u32, from: u32) -> Result<Option<u32>, LakeError> {
        let manifest = self.manifest().await?;
        if let Some(range) = retried(|| self.source.range()).await? {
            let newest = (*range.end()).min(ledger.saturating_sub(1));
            return Ok(Some(newest).filter(|newest| *newest >= from.max(*range.start())));
        }
        let size = manifest.ledgers_per_batch();
        let has = async |index| self.has(&manifest, index).await;
        let found = search::newest_below(ledger / size, from / size, has).await?;
        Ok(found.map(|index| manifest.batch_of(index.saturating_mul(size)).1))
    }

    /// True if the lake has the object that holds this ledger.
    ///
    /// # Errors
    ///
    /// [`LakeError`] if the lake cannot be reached.
    pub async fn has_ledger(&self, ledger: u32) -> Result<bool, LakeError> {
        let manifest = self.manifest().await?;
        self.has(&manifest, ledger / manifest.ledgers_per_batch()).await
    }

    /// True if the lake has the object of this number, counted from ledger 0.
    async fn has(&self, manifest: &Manifest, index: u32) -> Result<bool, LakeError> {
        let first = index.saturating_mul(manifest.ledgers_per_batch());
        retried(|| self.source.has(manifest, first)).await
    }

    async fn fetched(&self, manifest: &Manifest, ledger: u32) -> Result<Option<Bytes>, LakeError> {
        let fetched = retried(|| self.source.object(manifest, ledger)).await?;
        Ok(fetched.map(counted))
    }

    async fn decoded(&self, bytes: Bytes, first: u32, last: u32) -> Content {
        let (network, verification) = (Network::of(&self.passphrase), self.verification);
        match decoders::decode(Object { bytes, first, last, network, verification }).await {
            Some(Ok(ledgers)) => Content::Ledgers(ledgers),
            Some(Err(reason)) => Content::Unreadable(reason),
            None => Content::Unreadable("its decoding failed".to_owned()),
        }
    }
}

impl Content {
    /// False if the object holds anything that is refused.
    fn is_sound(&self) -> bool {
        match self {
            Self::Missing => true,
            Self::Unreadable(_) => false,
            Self::Ledgers(ledgers) => ledgers.iter().all(Result::is_ok),
        }
    }
}

/// Counts the bytes of an object, and returns them.
fn counted(bytes: Bytes) -> Bytes {
    counter!("ticker_lake_bytes_total").increment(u64::saturating_from(bytes.len()));
    bytes
}

fn count(content: &Content) {
    let outcome = match content {
        Content::Missing => "missing",
        Content::Unreadable(_) => "unreadable",
        Content::Ledgers(_) => "read",
    };
    counter!("ticker_lake_objects_total", "outcome" => outcome).increment(1);
}

/// Repeats a request while its failures may pass, with growing waits.
async fn retried<T>(mut request: impl AsyncFnMut() -> Result<T, LakeError>) -> Result<T, LakeError> {
    let mut retry = Retry::default();
    for _ in 1..FETCHES_MAX {
        match request().await {
            Err(error) if error.is_transient() => {
                counter!("ticker_lake_retries_total").increment(1);
                let asked = error.retry_after();
                if asked.is_some_and(|asked| asked > RETRY_WAIT_MAX) {
                    return Err(error); // the caller waits as long as the server asks for
                }
                actix_rt::time::sleep(retry.next_wait(asked).min(RETRY_WAIT_MAX)).await;
            }
            answer => return answer,
        }
    }
    request().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &tempfile::TempDir, passphrase: &str, batches_per_partition: u32) {
        let manifest = serde_json::json!({
            "networkPassphrase": passphrase, "version": "1.0", "compression": "zstd",
            "ledgersPerBatch": 1, "batchesPerPartition": batches_per_partition,
        });
        std::fs::write(directory.path().join(Manifest::KEY), manifest.to_string()).unwrap();
    }

    /// Makes the manifest old.
    fn age(lake: &Lake) {
        let read_at = Instant::now().checked_sub(MANIFEST_AGE_MAX).unwrap();
        lake.manifest.borrow_mut().as_mut().unwrap().read_at = read_at;
    }

    #[actix_rt::test]
    async fn a_server_that_asks_for_a_long_wait_is_not_asked_again_before() {
        let asked = std::cell::Cell::new(0);
        let answer = retried(async || -> Result<(), LakeError> {
            asked.set(asked.get() + 1);
            Err(LakeError::Status { status: 429, retry_after: Some(RETRY_WAIT_MAX * 2) })
        });
        assert_eq!((answer.await.unwrap_err().retry_after(), asked.get()), (Some(RETRY_WAIT_MAX * 2), 1));
    }

    #[tokio::test]
    async fn a_lake_whose_layout_changes_is_read_by_its_new_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let settings = LakeSettings {
            address: LakeAddress::Lake(format!("file://{}", directory.path().display())),
            passphrase: "Here".into(),
            ca_file: None,
            parallel: 1,
            is_verified: true,
            body_timeout: BODY_TIMEOUT,
        };
        let lake = Lake::new(&settings).unwrap();
        write(&directory, "Here", 64_000);
        let old = lake.manifest().await.unwrap();
        write(&directory, "Here", 10);
        assert_eq!(lake.manifest().await.unwrap(), old, "it was read a moment ago");
        age(&lake);
        let new = lake.manifest().await.unwrap();
        assert_ne!(new, old);
        std::fs::write(directory.path().join(Manifest::KEY), "{").unwrap();
        age(&lake);
        assert_eq!(lake.manifest().await.unwrap(), new, "one that cannot be read says nothing");
        write(&directory, "There", 10);
        age(&lake);
        assert!(matches!(lake.manifest().await, Err(LakeError::OtherNetwork { .. })));
        write(&directory, "Here", 10);
        assert_eq!(lake.manifest().await.unwrap(), new);
    }
}
