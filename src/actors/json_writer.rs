//! The JSON writer: writes the newest publication to files, and replaces each file atomically.

mod outputs;

use std::{
    cell::Cell,
    collections::HashMap,
    fmt::Display,
    io::{self, Write},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
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
    state: State,
}

#[derive(Default)]
struct State {
    /// Newest publication that is not written yet, and its trace.
    waiting: Option<(Arc<Publication>, TraceContext)>,
    /// True while a write runs on the blocking pool.
    is_writing: bool,
    /// Start of the last write.
    begun_at: Option<Instant>,
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
    /// Their failures, to log each once.
    output_failures: FailureLog,
    /// True while a publication waits or is written. Shared with the future of the drain.
    is_busy: Rc<Cell<bool>>,
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
        Self { deps, state: State::default() }
    }
}

impl JsonWriter {
    fn is_due(&self, publication: &Publication) -> bool {
        let interval = match self.deps.pace {
            FilePace::Every(interval) => interval,
            FilePace::Auto if publication.files.bytes() < SMALL_BYTES => Duration::ZERO,
            FilePace::Auto => LARGE_INTERVAL,
        };
        self.state.begun_at.is_none_or(|begun_at| begun_at.elapsed() >= interval)
    }

    fn write_if_due(&mut self, ctx: &mut Context<Self>) {
        let due = self.state.waiting.as_ref().is_some_and(|(waiting, _)| self.is_due(waiting));
        // One write at a time. A newer publication replaces the waiting one meanwhile.
        if self.state.is_writing || !due {
            return;
        }
        let Some((publication, trace)) = self.state.waiting.take() else { return };
        self.state.is_writing = true;
        self.state.begun_at = Some(Instant::now());
        let (directory, written) = (self.deps.directory.clone(), self.state.written.clone());
        let mut step = self.deps.status.step(steps::WRITE_FILES, Some(&trace));
        step.set_subject(subjects::publication(&publication));
        let write = crate::blocking::run(move || {
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
            this.state.is_busy.set(this.state.waiting.is_some());
            this.deps.status.advance();
            match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(etags) => {
                    let trace = step.done();
                    debug!(%trace, files = etags.len(), "files written");
                    this.state.written.extend(etags);
                    this.deps.status.set_state("writing");
                    let written_at = Some(Arc::new(this.deps.clock.now()));
                    this.deps.published.vitals.files_written_at.store(written_at);
                    this.deps.status.succeeds("files follow the publications");
                    if this.state.failures.record_success() {
                        info!("files written again after a failure");
                    }
                }
                Err(error) => {
                    step.failed();
                    this.write_failed(&error, "failing");
                }
            }
        }));
    }

    /// Writes the files of the market API. The legacy files come first: nothing begins while they are due or written.
    fn write_outputs_if_due(&mut self, ctx: &mut Context<Self>) {
        let (begun_at, pace) = (self.state.outputs_begun_at, self.deps.pace);
        let due = self
            .state
            .waiting_outputs
            .as_ref()
            .is_some_and(|waiting| outputs::is_due(pace, begun_at, waiting));
        if self.state.is_writing || self.state.is_writing_outputs || !due {
            return;
        }
        let Some(publication) = self.state.waiting_outputs.take() else { return };
        self.state.is_writing_outputs = true;
        self.state.outputs_begun_at = Some(Instant::now());
        let (directory, source) = (self.deps.directory.clone(), self.deps.source.clone());
        let coverage = self.deps.published.vitals.coverage.load_full();
        let write = crate::blocking::run(move || outputs::write(&directory, &publication, coverage, &source));
        ctx.spawn(write.into_actor(self).map(|written, this, _| {
            this.state.is_writing_outputs = false;
            match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(()) if this.state.output_failures.record_success() => {
                    info!("files of the market API written again after a failure");
                }
                Ok(()) => {}
                Err(error) if this.state.output_failures.record_failure(&error, Instant::now()) => {
                    let directory = this.deps.directory.display();
                    warn!(%error, %directory, "files of the market API could not be written");
                }
                Err(_) => {}
            }
        }));
    }

    fn write_failed(&mut self, error: &dyn Display, state: &'static str) {
        if self.state.failures.record_failure(error, Instant::now()) {
            warn!(%error, directory = %self.deps.directory.display(), "files could not be written, retrying");
        }
        self.deps.status.fails(&format_args!("{}: {error}", self.deps.directory.display()));
        self.deps.status.set_state(state);
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
        sweep(&self.deps.directory);
        ctx.run_interval(TICK, |this, ctx| {
            this.deps.status.advance();
            let hangs = |begun_at: Instant| begun_at.elapsed() >= HANGING_AFTER;
            if this.state.is_writing && this.state.begun_at.is_some_and(hangs) {
                this.write_failed(&"a write does not end", "hanging");
            }
            this.write_if_due(ctx);
            this.write_outputs_if_due(ctx);
        });
    }
}

impl Supervised for JsonWriter {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.state = State::default();
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
        Box::pin(wait.into_actor(self))
    }
}
