//! The JSON writer: writes the newest publication to files, and replaces each file atomically.

mod outputs;

use std::{
    cell::Cell,
    collections::HashMap,
    fmt::Display,
    io::{self, Write},
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, Supervised, WrapFuture,
};
use atomic_write_file::AtomicWriteFile;
use ticker_formats::{output::Output, twins::write_with_twins};
use tracing::{debug, info, warn};

use super::{
    envelope::Envelope,
    joint_health::JointHealth,
    messages::PublicationReady,
    subjects,
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
    trace::context::TraceContext,
    wiring::{DaemonActor, Wiring},
};
use crate::{
    clock::SharedClock,
    config::FileInterval,
    published::{EncodedFile, Files, ListingSource, Part, Publication, Published},
    shutdown, steps,
    trouble::FailureLog,
};

/// With [`FilePace::Auto`], files of up to this total size are written at each publication.
const SMALL_BYTES: usize = 4_000_000;
/// Interval at which larger files are written.
const LARGE_INTERVAL: Duration = Duration::from_secs(15);
/// Interval at which a due write is looked for and progress is reported.
const TICK: Duration = Duration::from_millis(100);
/// Duration after which a write counts as hanging, for example on a network file system whose server is gone.
const HANGING_AFTER: Duration = Duration::from_secs(30);
/// The same for a write of the files of the market API, which may take a minute on a busy machine.
const OUTPUTS_HANGING_AFTER: Duration = Duration::from_secs(300);
/// Parts of the work, for its health: the legacy files and those of the market API.
const LEGACY: &str = "legacy files";
const OUTPUTS: &str = "files of the market API";
/// Detail of the check while all files are written.
const WORKS: &str = "files follow the publications";
/// Pause after a failed write, whatever the pace. A full disk is not tried with each tick.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Interval at which the drain checks for the end of the last write.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// Pace of file writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilePace {
    /// Each publication while the files are small, otherwise every 15 s.
    Auto,
    /// At most once per interval.
    Every(Duration),
}

/// Dependencies of the JSON writer.
#[derive(Clone)]
pub struct JsonWriterDeps {
    /// Directory of the files; created if missing.
    pub directory: PathBuf,
    /// Pace of the writes.
    pub pace: FilePace,
    /// Inputs of the files of the market API, beside a publication.
    pub source: ListingSource,
    /// Vitals that receive the time of the last write.
    pub published: Arc<Published>,
    /// Source of the current time.
    pub clock: SharedClock,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub struct JsonWriter {
    deps: JsonWriterDeps,
    /// Held shared by each write, and alone by the sweep. It outlives incarnations: the next one begins once the writes
    /// of the one before have ended, and so no old file replaces a newer one.
    writes: Arc<RwLock<()>>,
    /// Health of both kinds of files.
    health: JointHealth,
    state: State,
}

#[derive(Default)]
struct State {
    /// Newest publication that is not written yet, and its trace.
    waiting: Option<(Arc<Publication>, TraceContext)>,
    /// True while a write or the sweep runs on the blocking pool.
    is_writing: bool,
    /// Start of the last write, or of the sweep.
    begun_at: Option<Instant>,
    /// True if the last write failed.
    has_failed: bool,
    /// Failures of writes, to log each once.
    failures: FailureLog,
    /// Hash of each file as last written.
    written: HashMap<&'static str, String>,
    /// Newest publication that is not yet written to the files of the market API.
    waiting_outputs: Option<Arc<Publication>>,
    /// True while those files are written, on the blocking pool.
    is_writing_outputs: bool,
    /// Start of their last write.
    outputs_begun_at: Option<Instant>,
    /// True if their last write failed.
    has_failed_outputs: bool,
    /// Their failures, to log each once.
    output_failures: FailureLog,
    /// True while a publication waits or is written. Shared with the future of the drain.
    is_busy: Rc<Cell<bool>>,
    /// True once the drain is over: the process may end at any moment, and would cut a write.
    is_drained: bool,
}

impl DaemonActor for JsonWriter {
    const NAME: &'static str = "json_writer";
    const DRAIN_PHASE: usize = shutdown::FILES;
    const PART: Option<Part> = Some(Part::of_replica("files"));

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let services = &wiring.services;
        let pace = match services.config.file_interval {
            FileInterval::Auto => FilePace::Auto,
            FileInterval::Every(interval) => FilePace::Every(interval),
        };
        let deps = JsonWriterDeps {
            source: services.listing_source(),
            directory: services.config.output_dir.clone(),
            pace,
            published: Arc::clone(&services.published),
            clock: Arc::clone(&services.clock),
            status,
        };
        Self::new(deps)
    }
}

impl JsonWriter {
    fn new(deps: JsonWriterDeps) -> Self {
        let health = JointHealth::new(&deps.status);
        Self { deps, writes: Arc::default(), health, state: State::default() }
    }

    fn is_due(&self, publication: &Publication) -> bool {
        let interval = match self.deps.pace {
            _ if self.state.has_failed => RETRY_PAUSE,
            FilePace::Every(interval) => interval,
            FilePace::Auto if publication.files.bytes() < SMALL_BYTES => Duration::ZERO,
            FilePace::Auto => LARGE_INTERVAL,
        };
        self.state.begun_at.is_none_or(|begun_at| begun_at.elapsed() >= interval)
    }

    fn write_if_due(&mut self, ctx: &mut Context<Self>) {
        let due = self.state.waiting.as_ref().is_some_and(|(waiting, _)| self.is_due(waiting));
        // One write at a time. A newer publication replaces the waiting one meanwhile.
        if self.state.is_drained || self.state.is_writing || !due {
            return;
        }
        let Some((publication, trace)) = self.state.waiting.take() else { return };
        self.state.is_writing = true;
        self.state.begun_at = Some(Instant::now());
        let (directory, written) = (self.deps.directory.clone(), self.state.written.clone());
        let mut step = self.deps.status.step(steps::WRITE_FILES, Some(&trace));
        step.set_subject(subjects::publication(&publication));
        let (writes, retried) = (Arc::clone(&self.writes), Arc::clone(&publication));
        let write = crate::blocking::run(move || {
            let _shared = writes.read().unwrap_or_else(PoisonError::into_inner);
            // Content that is in the files already is not written again.
            let changed = |(name, file): &(&'static str, &EncodedFile)| written.get(name) != Some(&file.etag);
            let mut etags = HashMap::new();
            for (name, file) in publication.files.all().into_iter().filter(changed) {
                replace(&directory, name, file)?;
                etags.insert(name, file.etag.clone());
            }
            Ok(etags)
        });
        ctx.spawn(write.into_actor(self).map(move |written, this, _| {
            this.state.is_writing = false;
            this.deps.status.advance();
            let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
            this.state.has_failed = written.is_err();
            match written {
                Ok(etags) => {
                    let trace = step.done();
                    debug!(%trace, files = etags.len(), "files written");
                    this.state.written.extend(etags);
                    this.deps.status.set_state("writing");
                    this.health.succeeds(LEGACY, WORKS);
                    this.note_written();
                    if this.state.failures.record_success() {
                        info!("files written again after a failure");
                    }
                }
                Err(error) => {
                    step.failed();
                    // Some files may be replaced already.
                    this.state.written.clear();
                    this.state.waiting.get_or_insert((retried, trace));
                    this.write_failed(&error, "failing");
                }
            }
            this.state.is_busy.set(this.state.waiting.is_some());
        }));
    }

    /// Writes the files of the market API. The legacy files come first: nothing begins while they are due or written.
    fn write_outputs_if_due(&mut self, ctx: &mut Context<Self>) {
        let (begun_at, pace) = (self.state.outputs_begun_at, self.deps.pace);
        let due =
            self.state.waiting_outputs.as_ref().is_some_and(|waiting| {
                outputs::is_due(pace, begun_at, waiting, self.state.has_failed_outputs)
            });
        if self.state.is_drained || self.state.is_writing || self.state.is_writing_outputs || !due {
            return;
        }
        let Some(publication) = self.state.waiting_outputs.take() else { return };
        self.state.is_writing_outputs = true;
        self.state.outputs_begun_at = Some(Instant::now());
        let (directory, source) = (self.deps.directory.clone(), self.deps.source.clone());
        let (writes, retried) = (Arc::clone(&self.writes), Arc::clone(&publication));
        let write = crate::blocking::run(move || {
            let _shared = writes.read().unwrap_or_else(PoisonError::into_inner);
            outputs::write(&directory, &publication, &source)
        });
        ctx.spawn(write.into_actor(self).map(|written, this, _| {
            this.state.is_writing_outputs = false;
            let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
            this.state.has_failed_outputs = written.is_err();
            if written.is_err() {
                this.state.waiting_outputs.get_or_insert(retried);
            }
            match written {
                Ok(()) => {
                    this.health.succeeds(OUTPUTS, WORKS);
                    if this.state.output_failures.record_success() {
                        info!("files of the market API written again after a failure");
                    }
                }
                Err(error) => this.outputs_failed(&error),
            }
        }));
    }

    /// Removes what killed writers left behind. Until then nothing is written, since a file of a write under way looks
    /// the same. A file system that hangs holds up neither the thread nor its messages.
    fn begin_with_a_sweep(&mut self, ctx: &mut Context<Self>) {
        self.state.is_writing = true;
        self.state.begun_at = Some(Instant::now());
        let (writes, directory) = (Arc::clone(&self.writes), self.deps.directory.clone());
        let swept = crate::blocking::run(move || {
            let _alone = writes.write().unwrap_or_else(PoisonError::into_inner);
            sweep(&directory);
        });
        ctx.spawn(swept.into_actor(self).map(|_, this, ctx| {
            this.state.is_writing = false;
            this.state.begun_at = None;
            this.write_if_due(ctx);
        }));
    }

    fn write_failed(&mut self, error: &dyn Display, state: &'static str) {
        if self.state.failures.record_failure(error, Instant::now()) {
            warn!(%error, directory = %self.deps.directory.display(), "files could not be written, retrying");
        }
        self.health.fails(LEGACY, &format_args!("{}: {error}", self.deps.directory.display()));
        self.deps.status.set_state(state);
    }

    fn outputs_failed(&mut self, error: &dyn Display) {
        let directory = self.deps.directory.display();
        if self.state.output_failures.record_failure(error, Instant::now()) {
            warn!(%error, %directory, "files of the market API could not be written, retrying");
        }
        self.health.fails(OUTPUTS, &format_args!("{directory}: files of the market API: {error}"));
    }

    /// Notes the time of a write, unless the last write of the other files failed. `ticker_files_age_seconds` shows it.
    fn note_written(&self) {
        if self.health.is_whole() {
            let written_at = Some(Arc::new(self.deps.clock.now()));
            self.deps.published.vitals.files_written_at.store(written_at);
        }
    }
}

/// Removes temporary files of a killed writer: hidden files named after ours, each in its directory.
fn sweep(directory: &Path) {
    for name in Files::NAMES.into_iter().chain(Output::files().map(|(name, _)| name)) {
        let path = directory.join(name);
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            sweep_one(parent, &format!(".{}.", name.display()));
        }
    }
}

/// Removes the files of a directory whose names begin like this.
fn sweep_one(directory: &Path, start: &str) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let is_left_behind = |name: &str| name.starts_with(start);
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_left_behind)) {
        debug!(path = %entry.path().display(), "removing temporary file of a killed writer");
        if let Err(error) = std::fs::remove_file(entry.path()) {
            warn!(%error, path = %entry.path().display(), "temporary file could not be removed");
        }
    }
}

/// Replaces a file and its compressed twins, each atomically.
pub fn replace(directory: &Path, name: &str, file: &EncodedFile) -> io::Result<()> {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
    // Twins first: a reader that prefers them never sees an old twin beside a new plain file.
    for (ending, bytes) in [(".br", file.brotli.make()), (".gz", &file.gzip), ("", &file.raw)] {
        replace_bytes(&directory.join(format!("{name}{ending}")), bytes)?;
    }
    Ok(())
}

/// Like [`replace`], for a file that `render` writes. Its plain bytes are never in memory as a whole.
fn replace_rendered(
    directory: &Path,
    name: &str,
    render: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
    let mut plain = AtomicWriteFile::open(&path)?;
    let twins = write_with_twins(&mut plain, render)?;
    // Twins first here too.
    for (ending, bytes) in [(".br", &twins.brotli), (".gz", &twins.gzip)] {
        replace_bytes(&directory.join(format!("{name}{ending}")), bytes)?;
    }
    plain.commit()
}

/// Replaces a file atomically: a reader sees the whole old content or the whole new content.
pub fn replace_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicWriteFile::open(path)?;
    file.write_all(bytes)?;
    file.commit()
}

impl Actor for JsonWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.deps.status.set_state("waiting");
        self.begin_with_a_sweep(ctx);
        ctx.run_interval(TICK, |this, ctx| {
            this.deps.status.advance();
            let hangs = |begun_at: Option<Instant>, limit| begun_at.is_some_and(|at| at.elapsed() >= limit);
            if this.state.is_writing && hangs(this.state.begun_at, HANGING_AFTER) {
                this.write_failed(&"a write does not end", "hanging");
            }
            if this.state.is_writing_outputs && hangs(this.state.outputs_begun_at, OUTPUTS_HANGING_AFTER) {
                this.outputs_failed(&"a write does not end");
            }
            this.write_if_due(ctx);
            this.write_outputs_if_due(ctx);
        });
    }
}

impl Supervised for JsonWriter {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.state = State::default();
        self.health = JointHealth::new(&self.deps.status);
    }
}

impl Handler<Ping> for JsonWriter {
    type Result = Pulse;

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) -> Pulse {
        self.deps.status.pulse()
    }
}

impl Handler<Envelope<PublicationReady>> for JsonWriter {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<PublicationReady>, ctx: &mut Context<Self>) {
        let handling = self.deps.status.begin(&envelope);
        let _in_trace = handling.span().enter();
        self.state.waiting_outputs = Some(Arc::clone(&envelope.body.publication));
        self.state.waiting = Some((Arc::clone(&envelope.body.publication), handling.trace()));
        self.state.is_busy.set(true);
        self.write_if_due(ctx);
    }
}

impl Handler<Drain> for JsonWriter {
    type Result = ResponseActFuture<Self, ()>;

    /// Writes the waiting publication at once, whatever the pace.
    fn handle(&mut self, drain: Drain, ctx: &mut Context<Self>) -> Self::Result {
        self.deps.pace = FilePace::Every(Duration::ZERO);
        self.state.has_failed = false;
        self.write_if_due(ctx);
        let busy = Rc::clone(&self.state.is_busy);
        let wait = async move {
            let written = async {
                while busy.get() {
                    actix_rt::time::sleep(DRAIN_POLL).await;
                }
            };
            let _ = tokio::time::timeout(drain.within, written).await;
        };
        Box::pin(wait.into_actor(self).map(|(), this, _| this.state.is_drained = true))
    }
}

#[cfg(test)]
mod tests;
