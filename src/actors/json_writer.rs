//! The JSON writer: publications into files, each replaced atomically, the newest only.

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
use tracing::{debug, info, warn};

use super::{
    envelope::{Envelope, TraceContext},
    messages::PublicationReady,
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
};
use crate::{
    published::{EncodedFile, Files, Publication},
    trouble::Trouble,
};

/// With [`FilePace::Auto`] files up to this size in all are written at each publication …
const SMALL_BYTES: usize = 4_000_000;
/// … and larger ones this often.
const LARGE_INTERVAL: Duration = Duration::from_secs(15);
/// How often it looks whether a file is due, and says that it lives.
const TICK: Duration = Duration::from_millis(100);
/// A write that takes longer hangs: a network's file system whose server is gone, say.
const HANGING_AFTER: Duration = Duration::from_secs(30);
/// How often the drain looks whether the last write is done.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// How often files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilePace {
    /// Each publication while the files are small, else every 15 s.
    Auto,
    /// This often at most.
    Every(Duration),
}

/// What the JSON writer works with.
#[derive(Clone)]
pub struct JsonWriterDeps {
    /// Where the files go; made if it is not there.
    pub directory: PathBuf,
    /// How often.
    pub pace: FilePace,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub struct JsonWriter {
    deps: JsonWriterDeps,
    state: State,
}

#[derive(Default)]
struct State {
    /// The newest publication that is in no file yet.
    waiting: Option<(Arc<Publication>, TraceContext)>,
    /// A write is under way.
    writing: bool,
    /// When the last write began.
    begun: Option<Instant>,
    /// That files cannot be written.
    trouble: Trouble,
    /// The hash of each file as it was last written.
    written: HashMap<&'static str, String>,
    /// Something waits or is being written: the drain looks at it from its own future.
    busy: Rc<Cell<bool>>,
}

impl JsonWriter {
    /// The actor, not yet started.
    #[must_use]
    pub fn new(deps: JsonWriterDeps) -> Self {
        Self { deps, state: State::default() }
    }

    fn is_due(&self, publication: &Publication) -> bool {
        let interval = match self.deps.pace {
            FilePace::Every(interval) => interval,
            FilePace::Auto if publication.files.bytes() < SMALL_BYTES => Duration::ZERO,
            FilePace::Auto => LARGE_INTERVAL,
        };
        self.state.begun.is_none_or(|begun| begun.elapsed() >= interval)
    }

    fn write_if_due(&mut self, ctx: &mut Context<Self>) {
        let due = self.state.waiting.as_ref().is_some_and(|(waiting, _)| self.is_due(waiting));
        if self.state.writing || !due {
            return;
        }
        let Some((publication, trace)) = self.state.waiting.take() else { return };
        self.state.writing = true;
        self.state.begun = Some(Instant::now());
        let (directory, written) = (self.deps.directory.clone(), self.state.written.clone());
        let write = crate::blocking::run(move || {
            // Content that is there already is not written again.
            let changed = |(name, file): &(&'static str, &EncodedFile)| written.get(name) != Some(&file.etag);
            let mut etags = HashMap::new();
            for (name, file) in publication.files.all().into_iter().filter(changed) {
                replace(&directory, name, file)?;
                etags.insert(name, file.etag.clone());
            }
            Ok(etags)
        });
        ctx.spawn(write.into_actor(self).map(move |written, this, _| {
            this.state.writing = false;
            this.state.busy.set(this.state.waiting.is_some());
            this.deps.status.advance();
            match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(etags) => {
                    debug!(%trace, files = etags.len(), "files written");
                    this.state.written.extend(etags);
                    this.deps.status.set_state("writing");
                    this.deps.status.succeeds("files follow the publications");
                    if this.state.trouble.is_over() {
                        info!("files can be written again");
                    }
                }
                Err(error) => this.trouble(&error, "failing"),
            }
        }));
    }

    fn trouble(&mut self, error: &dyn Display, state: &'static str) {
        if self.state.trouble.is_news(error, Instant::now()) {
            warn!(%error, directory = %self.deps.directory.display(), "files cannot be written");
        }
        self.deps.status.fails(&format_args!("{}: {error}", self.deps.directory.display()));
        self.deps.status.set_state(state);
    }
}

/// Removes what a writer that was killed left behind: hidden files that are named after ours.
fn sweep(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let is_left_behind = |name: &str| Files::NAMES.iter().any(|ours| name.starts_with(&format!(".{ours}.")));
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_left_behind)) {
        debug!(path = %entry.path().display(), "a file of a writer that was killed is removed");
        if let Err(error) = std::fs::remove_file(entry.path()) {
            warn!(%error, path = %entry.path().display(), "a file that was left behind cannot be removed");
        }
    }
}

/// Replaces a file and its compressed twins, each in one step.
pub fn replace(directory: &Path, name: &str, file: &EncodedFile) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    // The twins first: a reader that prefers them never sees an older one beside a newer plain file for long.
    for (ending, bytes) in [(".br", file.brotli.make()), (".gz", &file.gzip), ("", &file.raw)] {
        replace_bytes(&directory.join(format!("{name}{ending}")), bytes)?;
    }
    Ok(())
}

/// Replaces one file in one step: whoever reads it sees the old content or the new, whole.
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
            if this.state.writing && this.state.begun.is_some_and(|begun| begun.elapsed() >= HANGING_AFTER) {
                this.trouble(&"a write does not end", "hanging");
            }
            this.write_if_due(ctx);
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
        self.state.waiting = Some((Arc::clone(&envelope.body.publication), handling.trace()));
        self.state.busy.set(true);
        self.write_if_due(ctx);
    }
}

impl Handler<Drain> for JsonWriter {
    type Result = ResponseActFuture<Self, ()>;

    /// Writes what waits, without regard to the pace.
    fn handle(&mut self, drain: Drain, ctx: &mut Context<Self>) -> Self::Result {
        self.deps.pace = FilePace::Every(Duration::ZERO);
        self.write_if_due(ctx);
        let busy = Rc::clone(&self.state.busy);
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
