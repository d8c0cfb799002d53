//! Crash files: the last records of an actor and its callers, written when it panics or is killed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tracing::warn;

use super::{
    record::Record,
    recorder::Recorder,
    view::{HandlingView, RecordView},
};

/// Records in a crash file.
pub const RECORDS_MAX: usize = 200;
/// Crash files that are kept. The oldest are removed.
pub(crate) const FILES_MAX: usize = 20;
/// Ending of the files.
const ENDING: &str = ".json";
/// Ending of a file that is being written.
const PART_ENDING: &str = ".json.part";

/// Writer of crash files into one directory.
#[derive(Debug)]
pub struct CrashFiles {
    directory: PathBuf,
    recorder: Arc<Recorder>,
}

/// Content of a crash file.
#[derive(Serialize)]
struct Crash<'a> {
    at: DateTime<Utc>,
    /// Name of the actor; null if the process gave up after too many restarts.
    actor: Option<&'a str>,
    reason: &'a str,
    /// Messages under way, by actor. They have no record yet.
    handling: &'a BTreeMap<&'static str, Vec<HandlingView>>,
    records: Vec<RecordView>,
}

impl CrashFiles {
    /// Creates a writer. The directory is made at the first crash.
    #[must_use]
    pub fn new(directory: PathBuf, recorder: Arc<Recorder>) -> Self {
        Self { directory, recorder }
    }

    /// Writes the last records of an actor and of its callers, or of all if `actor` is none. `handling` has the
    /// messages under way, by actor. Returns the path. Blocks.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or written.
    pub fn write(
        &self,
        actor: Option<&str>,
        reason: &str,
        handling: &BTreeMap<&'static str, Vec<HandlingView>>,
    ) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.directory)?;
        let (records, _) = self.recorder.records();
        let moment = self.recorder.moment();
        let at = moment.now();
        let under_way = actor.and_then(|actor| handling.get(actor)).map_or(&[][..], Vec::as_slice);
        let records = about(&records, actor, under_way).iter().map(|record| record.view(&moment)).collect();
        let text = serde_json::to_vec_pretty(&Crash { at, actor, reason, handling, records })?;
        let name = format!("{}-{}{ENDING}", at.format("%Y%m%dT%H%M%S%.6fZ"), actor.unwrap_or("process"));
        let path = self.directory.join(name);
        // First, so that the new file stays whatever the clock says, and has room on a full disk.
        if let Err(error) = self.prune() {
            warn!(%error, "old crash files could not be removed");
        }
        let part = path.with_extension("json.part");
        let written = fs::write(&part, text).and_then(|()| fs::rename(&part, &path));
        if written.is_err() {
            // A full disk leaves a truncated file.
            let _ = fs::remove_file(&part);
        }
        written.map(|()| path)
    }

    /// Removes the oldest files until there is room for one more.
    fn prune(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.directory)?
            .filter_map(Result::ok)
            .map(|entry| (entry.metadata().and_then(|file| file.modified()), entry.path()))
            .filter_map(|(modified, path)| Some((modified.ok()?, path)))
            .filter(|(_, path)| is_crash_file(path))
            .collect();
        files.sort_unstable();
        let surplus = files.len().saturating_sub(FILES_MAX - 1);
        files.iter().take(surplus).try_for_each(|(_, path)| match fs::remove_file(path) {
            // Another actor that ended at the same time has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        })
    }
}

fn is_crash_file(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.ends_with(ENDING) || name.ends_with(PART_ENDING))
}

/// Returns the newest records that an actor, or a sender of messages to it, took part in; the oldest first.
/// `under_way` are the messages that the actor is handling.
fn about<'a>(
    records: &'a [Arc<Record>],
    actor: Option<&str>,
    under_way: &[HandlingView],
) -> Vec<&'a Arc<Record>> {
    let callers: Vec<&str> = records
        .iter()
        .filter(|record| Some(record.to) == actor)
        .map(|record| record.from)
        .chain(under_way.iter().map(|message| message.from))
        .collect();
    let is_about = |record: &&Arc<Record>| {
        actor.is_none_or(|actor| record.to == actor || record.from == actor || callers.contains(&record.to))
    };
    let mut newest: Vec<_> = records.iter().rev().filter(is_about).take(RECORDS_MAX).collect();
    newest.reverse();
    newest
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        clock::{ManualClock, SharedClock},
        trace::step::{Step, StepName},
    };

    fn directory(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("actor-tree-{name}-{}", std::process::id()))
    }

    #[test]
    fn the_new_file_stays_if_the_clock_went_back() {
        let directory = directory("clock");
        fs::create_dir_all(&directory).unwrap();
        for number in 0..FILES_MAX {
            fs::write(directory.join(format!("29990101T000000.{number:06}Z-one.json")), "{}").unwrap();
        }
        let clock: SharedClock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        let written = CrashFiles::new(directory.clone(), Recorder::on(clock)).write(
            Some("one"),
            "a test",
            &BTreeMap::new(),
        );
        let (is_there, count) = (written.unwrap().exists(), fs::read_dir(&directory).unwrap().count());
        fs::remove_dir_all(directory).unwrap();
        assert_eq!((is_there, count), (true, FILES_MAX));
    }

    #[test]
    fn an_old_file_that_cannot_be_removed_does_not_prevent_the_new_one() {
        let directory = directory("pruning");
        for number in 0..FILES_MAX {
            // Directories are not removed as files are.
            fs::create_dir_all(directory.join(format!("{number:02}-one.json"))).unwrap();
        }
        let clock: SharedClock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        let written = CrashFiles::new(directory.clone(), Recorder::on(clock)).write(
            Some("one"),
            "a test",
            &BTreeMap::new(),
        );
        let is_there = written.is_ok_and(|path| path.is_file());
        fs::remove_dir_all(directory).unwrap();
        assert!(is_there);
    }

    #[test]
    fn a_file_that_could_not_be_written_leaves_nothing_behind() {
        let directory = directory("renaming");
        let clock: SharedClock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        let files = CrashFiles::new(directory.clone(), Recorder::on(clock));
        // A directory in its place: the new file cannot take its name.
        let path = files.write(Some("one"), "a test", &BTreeMap::new()).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir_all(path.join("inner")).unwrap();
        let again = files.write(Some("one"), "a test", &BTreeMap::new());
        let count = fs::read_dir(&directory).unwrap().count();
        fs::remove_dir_all(directory).unwrap();
        assert!(again.is_err() && count == 1, "{again:?} {count}");
    }

    #[test]
    fn a_file_holds_the_records_of_the_actor_and_the_oldest_files_leave() {
        let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        let shared: SharedClock = clock.clone();
        let recorder = Recorder::on(shared);
        for actor in ["one", "other"] {
            Step::begin(&recorder, actor, StepName("work"), None).done();
        }
        let directory = directory("crash");
        let files = CrashFiles::new(directory.clone(), recorder);
        let write = || {
            clock.advance(Duration::from_secs(1));
            files.write(Some("one"), "a test", &BTreeMap::new()).unwrap()
        };
        (0..21).for_each(|_| drop(write()));
        let newest = write();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), FILES_MAX);
        let crash: serde_json::Value = serde_json::from_slice(&fs::read(newest).unwrap()).unwrap();
        fs::remove_dir_all(directory).unwrap();
        assert_eq!(crash["records"].as_array().unwrap().len(), 1);
        assert_eq!(crash["records"][0]["to"], "one");
    }

    #[test]
    fn the_message_under_way_and_the_records_of_its_sender_are_in_the_file() {
        let clock: SharedClock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        let recorder = Recorder::on(clock);
        for actor in ["sender", "other"] {
            Step::begin(&recorder, actor, StepName("work"), None).done();
        }
        let directory = directory("handling");
        let message =
            HandlingView { number: 7, message: "Do", from: "sender", trace: "00".into(), for_s: 12.0 };
        let handling = BTreeMap::from([("one", vec![message])]);
        let path = CrashFiles::new(directory.clone(), recorder).write(Some("one"), "a test", &handling);
        let crash: serde_json::Value = serde_json::from_slice(&fs::read(path.unwrap()).unwrap()).unwrap();
        fs::remove_dir_all(directory).unwrap();
        let under_way = &crash["handling"]["one"][0];
        assert_eq!((&under_way["type"], &under_way["from"]), (&"Do".into(), &"sender".into()), "{crash}");
        let of: Vec<_> = crash["records"].as_array().unwrap().iter().map(|it| it["to"].as_str()).collect();
        assert_eq!(of, [Some("sender")]);
    }
}
