//! Tests of the JSON writer as an actor.

use std::fs;

use actix::{Addr, Message};
use actor_tree::{port::Port, trace::recorder::Recorder};

use super::*;
use crate::{clock::SystemClock, domain::market_snapshot::MarketSnapshot, published::FileMaker};

const PATIENCE: Duration = Duration::from_secs(60);

/// A writer that runs. Its pace allows one write an hour.
struct Scene {
    directory: PathBuf,
    status: Arc<ChildStatus>,
    address: Addr<JsonWriter>,
    port: Port<PublicationReady>,
}

/// Asks the writer whether a publication waits and no write runs.
struct IsHeldBack;

impl Message for IsHeldBack {
    type Result = bool;
}

impl Handler<IsHeldBack> for JsonWriter {
    type Result = bool;

    fn handle(&mut self, _: IsHeldBack, _: &mut Context<Self>) -> bool {
        self.state.legacy.waiting.is_some() && !self.state.legacy.is_writing
    }
}

impl Scene {
    /// Starts a writer to a directory of this name. `prepare` changes it before.
    fn start(name: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::start_with(name, prepare, Arc::default())
    }

    fn start_with(name: &str, prepare: impl FnOnce(&Path), writes: Arc<RwLock<()>>) -> Self {
        let clock = SystemClock::shared();
        let status =
            ChildStatus::new("json_writer", 8, Arc::clone(&clock), Recorder::off(Arc::clone(&clock)));
        let directory = std::env::temp_dir().join(format!("json-writer-{name}-{}", std::process::id()));
        prepare(&directory);
        let deps = JsonWriterDeps {
            directory: directory.clone(),
            pace: FilePace::Every(Duration::from_secs(3_600)),
            source: ListingSource::new("Test Network", []),
            published: Arc::default(),
            clock,
            status: Arc::clone(&status),
        };
        let address = JsonWriter { writes, ..JsonWriter::new(deps) }.start();
        let port = Port::new("test", address.clone().recipient(), Arc::clone(&status));
        Self { directory, status, address, port }
    }

    async fn publish(&self, seq: i64) {
        let maker = &mut FileMaker::default();
        let publication = Publication::render(seq, None, MarketSnapshot::default(), None, maker).unwrap();
        let publication = Arc::new(publication);
        self.port.call(None, PublicationReady { publication }, PATIENCE).await.unwrap();
    }

    fn has_files(&self) -> bool {
        self.directory.join("markets.json").exists()
    }

    fn is_failing(&self) -> bool {
        self.status.health().is_some_and(|health| !health.ok)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

async fn reached(what: &str, is_reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_reached() {
        assert!(begun.elapsed() < PATIENCE, "timed out: {what}");
        actix_rt::time::sleep(DRAIN_POLL).await;
    }
}

/// A file in place of the directory: every write fails.
fn block(directory: &Path) {
    fs::write(directory, "").unwrap();
}

#[actix_rt::test]
async fn a_failed_write_is_repeated_before_the_pace_allows_the_next() {
    let scene = Scene::start("repeats", block);
    scene.publish(1).await;
    reached("it fails", || scene.is_failing()).await;
    fs::remove_file(&scene.directory).unwrap();
    reached("the files are there", || scene.has_files()).await;
    reached("it succeeds", || !scene.is_failing()).await;
}

#[actix_rt::test]
async fn the_drain_repeats_a_failed_write() {
    let scene = Scene::start("drains", block);
    scene.publish(1).await;
    reached("it fails", || scene.is_failing()).await;
    let drained = scene.address.send(Drain { within: PATIENCE });
    fs::remove_file(&scene.directory).unwrap();
    drained.await.unwrap();
    assert!(scene.has_files(), "the last write is not lost");
}

#[actix_rt::test]
async fn after_the_drain_nothing_is_written() {
    let scene = Scene::start("ends", |_| {});
    scene.publish(1).await;
    scene.address.send(Drain { within: PATIENCE }).await.unwrap();
    assert!(scene.has_files());
    scene.publish(2).await;
    assert!(scene.address.send(IsHeldBack).await.unwrap());
}

/// A write of an incarnation that panicked goes on. It must not replace files of the next one.
#[actix_rt::test]
async fn an_incarnation_writes_only_after_the_writes_before_it_have_ended() {
    let (held, is_held) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let writes = Arc::new(RwLock::new(()));
    let old = std::thread::spawn({
        let writes = Arc::clone(&writes);
        move || {
            let _shared = writes.read().unwrap();
            held.send(()).unwrap();
            let _ = ended.recv();
        }
    });
    is_held.recv().unwrap();
    let scene = Scene::start_with("waits", |_| {}, writes);
    // The answer shows that the sweep, which waits for the write, does not hold the thread.
    scene.publish(1).await;
    assert!(!scene.has_files());
    end.send(()).unwrap();
    reached("the files are there", || scene.has_files()).await;
    old.join().unwrap();
}
