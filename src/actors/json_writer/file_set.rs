//! Files that are written together: the publication that waits, and the state of their last write.

use std::{
    fmt::Display,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use crate::{
    actors::{joint_health::JointHealth, trace::context::TraceContext},
    published::Publication,
    trouble::FailureLog,
};

/// Detail of the check while all files are written.
const WORKS: &str = "files follow the publications";

/// Constants of one set of files.
#[derive(Debug)]
pub(super) struct FileKind {
    /// Part of the work, for its health.
    pub(super) part: &'static str,
    /// Name of the files in the log.
    pub(super) noun: &'static str,
    /// Text between directory and error in the health.
    pub(super) label: &'static str,
    /// Pause after a failed write, whatever the pace.
    pub(super) retry_pause: Duration,
    /// Duration after which a write counts as hanging, for example on a network file system whose server is gone.
    pub(super) hanging_after: Duration,
}

/// A publication to write, and its trace.
pub(super) struct Waiting {
    pub(super) publication: Arc<Publication>,
    pub(super) trace: TraceContext,
}

/// One set of files.
pub(super) struct FileSet {
    kind: &'static FileKind,
    /// Newest publication that is not written yet.
    pub(super) waiting: Option<Waiting>,
    /// True while a write runs on the blocking pool.
    pub(super) is_writing: bool,
    /// Start of the last write.
    last_began: Option<Instant>,
    /// True if the last write failed.
    has_failed: bool,
    /// Failures of writes, to log each once.
    failures: FailureLog,
}

impl FileSet {
    pub(super) fn new(kind: &'static FileKind) -> Self {
        Self {
            kind,
            waiting: None,
            is_writing: false,
            last_began: None,
            has_failed: false,
            failures: FailureLog::default(),
        }
    }

    /// Begins a write, and returns its publication: if one waits, no write runs, and the last one began long enough
    /// ago. `interval` is the time between two writes.
    pub(super) fn take_due(&mut self, interval: impl FnOnce(&Publication) -> Duration) -> Option<Waiting> {
        let waiting = self.waiting.as_ref()?;
        let interval = if self.has_failed { self.kind.retry_pause } else { interval(&waiting.publication) };
        if self.is_writing || self.last_began.is_some_and(|began| began.elapsed() < interval) {
            return None;
        }
        self.is_writing = true;
        self.last_began = Some(Instant::now());
        self.waiting.take()
    }

    /// Notes the end of a write. If it failed, `retried` waits again, unless a newer publication waits.
    pub(super) fn ended<T>(
        &mut self,
        written: &io::Result<T>,
        retried: Waiting,
        health: &JointHealth,
        directory: &Path,
    ) {
        self.is_writing = false;
        self.has_failed = written.is_err();
        match written {
            Ok(_) => {
                health.succeeds(self.kind.part, WORKS);
                if self.failures.record_success() {
                    info!("{} written again after a failure", self.kind.noun);
                }
            }
            Err(error) => {
                self.waiting.get_or_insert(retried);
                self.fails(error, health, directory);
            }
        }
    }

    /// Reports a failure.
    pub(super) fn fails(&mut self, error: &dyn Display, health: &JointHealth, directory: &Path) {
        let (FileKind { part, noun, label, .. }, directory) = (self.kind, directory.display());
        if self.failures.record_failure(error, Instant::now()) {
            warn!(%error, %directory, "{noun} could not be written, retrying");
        }
        health.fails(part, &format_args!("{directory}: {label}{error}"));
    }

    /// Returns true if the write that runs began too long ago.
    pub(super) fn hangs(&self) -> bool {
        self.is_writing && self.last_began.is_some_and(|began| began.elapsed() >= self.kind.hanging_after)
    }

    /// Makes the pause after a failed write end now.
    pub(super) const fn end_pause(&mut self) {
        self.has_failed = false;
    }
}
