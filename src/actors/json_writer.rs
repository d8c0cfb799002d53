//! The JSON writer: writes the newest publication to files, and replaces each file atomically.

mod file_set;
mod outputs;

use std::{
    cell::Cell,
    collections::HashMap,
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
use ticker_formats::{output::Output, write_with_twins};
use tracing::{debug, warn};

use super::{
    envelope::Envelope,
    joint_health::JointHealth,
    messages::PublicationReady,
    subjects,
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
    wiring::{DaemonActor, Wiring},
};
use crate::{
    clock::SharedClock,
    config::FileInterval,
    published::{EncodedFile, Files, ListingSource, Part, Publication, Published},
    shutdown, steps,
};
use file_set::{FileKind, FileSet, Waiting};

/// With [`FilePace::Auto`], files of up to this total size are written at each publication.
const SMALL_BYTES: usize = 4_000_000;
/// Interval at which larger files are written.
const LARGE_INTERVAL: Duration = Duration::from_secs(15);
/// Interval at which a due write is looked for and progress is reported.
const TICK: Duration = Duration::from_millis(100);
/// The legacy files.
const LEGACY: FileKind = FileKind {
    part: "legacy files",
    noun: "files",
    label: "",
    // A full disk is not tried with each tick.
    retry_pause: Duration::from_secs(1),
    hanging_after: Duration::from_secs(30),
};
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

struct State {
    legacy: FileSet,
    /// Files of the market API.
    outputs: FileSet,
    /// Start of the sweep, while it runs on the blocking pool. Nothing is written meanwhile.
    sweeping_since: Option<Instant>,
    /// Hash of each legacy file as last written.
    written: HashMap<&'static str, String>,
    /// True while a publication waits or is written. Shared with the future of the drain.
    is_busy: Rc<Cell<bool>>,
    /// True once the drain is over: the process may end at any moment, and would cut a write.
    is_drained: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            legacy: FileSet::new(&LEGACY),
            outputs: FileSet::new(&outputs::KIND),
            sweeping_since: None,
            written: HashMap::new(),
            is_busy: Rc::default(),
            is_drained: false,
        }
    }
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

    /// True if no write may begin.
    const fn is_held_back(&self) -> bool {
        self.state.is_drained || self.state.sweeping_since.is_some()
    }

    fn write_if_due(&mut self, ctx: &mut Context<Self>) {
        let pace = self.deps.pace;
        // One write at a time. A newer publication replaces the waiting one meanwhile.
        let due =
            if self.is_held_back() { None } else { self.state.legacy.take_due(|due| interval(pace, due)) };
        let Some(Waiting { publication, trace }) = due else { return };
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
            this.deps.status.advance();
            let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
            let retried = Waiting { publication: retried, trace };
            this.state.legacy.ended(&written, retried, &this.health, &this.deps.directory);
            match written {
                Ok(etags) => {
                    let trace = step.done();
                    debug!(%trace, files = etags.len(), "files written");
                    this.state.written.extend(etags);
                    this.deps.status.set_state("writing");
                    this.note_written();
                }
                Err(_) => {
                    step.failed();
                    // Some files may be replaced already.
                    this.state.written.clear();
                    this.deps.status.set_state("failing");
                }
            }
            this.state.is_busy.set(this.state.legacy.waiting.is_some());
        }));
    }

    /// Writes the files of the market API. The legacy files come first: nothing begins while they are due or written.
    fn write_outputs_if_due(&mut self, ctx: &mut Context<Self>) {
        let pace = self.deps.pace;
        if self.is_held_back() || self.state.legacy.is_writing {
            return;
        }
        let due = self.state.outputs.take_due(|due| outputs::interval(pace, due));
        let Some(Waiting { publication, trace }) = due else { return };
        let (directory, source) = (self.deps.directory.clone(), self.deps.source.clone());
        let mut step = self.deps.status.step(steps::WRITE_FILES, Some(&trace));
        step.set_subject(subjects::publication(&publication));
        let (writes, retried) = (Arc::clone(&self.writes), Arc::clone(&publication));
        let write = crate::blocking::run(move || {
            let _shared = writes.read().unwrap_or_else(PoisonError::into_inner);
            outputs::write(&directory, &publication, &source)
        });
        ctx.spawn(write.into_actor(self).map(move |written, this, _| {
            let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
            step.ended(&written);
            let retried = Waiting { publication: retried, trace };
            this.state.outputs.ended(&written, retried, &this.health, &this.deps.directory);
        }));
    }

    /// Removes what killed writers left behind. Until then nothing is written, since a file of a write under way looks
    /// the same. A file system that hangs holds up neither the thread nor its messages.
    fn begin_with_a_sweep(&mut self, ctx: &mut Context<Self>) {
        self.state.sweeping_since = Some(Instant::now());
        let (writes, directory) = (Arc::clone(&self.writes), self.deps.directory.clone());
        let swept = crate::blocking::run(move || {
            let _alone = writes.write().unwrap_or_else(PoisonError::into_inner);
            sweep(&directory);
        });
        ctx.spawn(swept.into_actor(self).map(|_, this, ctx| {
            this.state.sweeping_since = None;
            this.write_if_due(ctx);
        }));
    }

    /// Reports writes that do not end, and a sweep that does not.
    fn report_hanging(&mut self) {
        const ERROR: &str = "a write does not end";
        let State { legacy, outputs, sweeping_since, .. } = &mut self.state;
        let (health, directory) = (&self.health, self.deps.directory.as_path());
        let sweep_hangs = sweeping_since.is_some_and(|since| since.elapsed() >= LEGACY.hanging_after);
        if legacy.hangs() || sweep_hangs {
            legacy.fails(&ERROR, health, directory);
            self.deps.status.set_state("hanging");
        }
        if outputs.hangs() {
            outputs.fails(&ERROR, health, directory);
        }
    }

    /// Notes the time of a write, unless the last write of the other files failed. `ticker_files_age_seconds` shows it.
    fn note_written(&self) {
        if self.health.is_whole() {
            let written_at = Some(Arc::new(self.deps.clock.now()));
            self.deps.published.vitals.files_written_at.store(written_at);
        }
    }
}

/// Time between two writes of the legacy files.
fn interval(pace: FilePace, publication: &Publication) -> Duration {
    match pace {
        FilePace::Every(interval) => interval,
        FilePace::Auto if publication.files.bytes() < SMALL_BYTES => Duration::ZERO,
        FilePace::Auto => LARGE_INTERVAL,
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
            this.report_hanging();
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
        for set in [&mut self.state.legacy, &mut self.state.outputs] {
            let publication = Arc::clone(&envelope.body.publication);
            set.waiting = Some(Waiting { publication, trace: handling.trace() });
        }
        self.state.is_busy.set(true);
        self.write_if_due(ctx);
    }
}

impl Handler<Drain> for JsonWriter {
    type Result = ResponseActFuture<Self, ()>;

    /// Writes the waiting publication at once, whatever the pace.
    fn handle(&mut self, drain: Drain, ctx: &mut Context<Self>) -> Self::Result {
        self.deps.pace = FilePace::Every(Duration::ZERO);
        self.state.legacy.end_pause();
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
