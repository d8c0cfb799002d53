//! Free space on the file systems that the daemon writes to, for `/readyz` and the metrics.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use metrics::gauge;
use nix::sys::statvfs::statvfs;

use crate::{actors::services::Services, blocking, domain::conversions::Integer};

/// Interval between two looks.
const INTERVAL: Duration = Duration::from_secs(10);
/// Time limit for a look. A network file system whose server is gone never answers.
const PATIENCE: Duration = Duration::from_secs(5);
/// Free bytes below which the check fails: the files of a publication, their twins and PostgreSQL's log fit.
pub(in crate::app) const FREE_BYTES_MIN: u64 = 256 << 20;
/// Free files below which the check fails.
pub(in crate::app) const FREE_FILES_MIN: u64 = 1_000;

/// Room that a file system has left for an ordinary user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) struct Room {
    /// Free bytes.
    pub(in crate::app) bytes: u64,
    /// Files that can be created, or `None` if the file system has no limit.
    pub(in crate::app) files: Option<u64>,
}

impl Room {
    /// Returns the room at `directory`, or at its nearest parent that exists.
    #[expect(clippy::useless_conversion, reason = "the counts have 32 bits on some systems")]
    pub(in crate::app) fn at(directory: &Path) -> io::Result<Self> {
        let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
        let stat = statvfs(existing)?;
        let bytes = u64::from(stat.blocks_available()).saturating_mul(stat.fragment_size());
        let files = (stat.files() > 0).then(|| u64::from(stat.files_available()));
        Ok(Self { bytes, files })
    }

    /// Returns what is short, or none if the room suffices.
    pub(in crate::app) fn shortage(self) -> Option<String> {
        let files = self.files.filter(|files| *files < FREE_FILES_MIN);
        if self.bytes < FREE_BYTES_MIN {
            return Some(format!("{} MiB free, at least {} needed", self.bytes >> 20, FREE_BYTES_MIN >> 20));
        }
        files.map(|files| format!("room for {files} files, at least {FREE_FILES_MIN} needed"))
    }
}

/// Looks at the directories in a loop. A look that hangs is reported and not repeated until it ends.
pub(super) async fn watch(services: Services) {
    let directories = Arc::new([services.config.data_dir.clone(), services.config.output_dir.clone()]);
    loop {
        let looked_at = Arc::clone(&directories);
        let mut look = blocking::run(move || look(&looked_at, Room::at));
        let found = match tokio::time::timeout(PATIENCE, &mut look).await {
            Ok(found) => found.unwrap_or_else(|error| Err(error.to_string())),
            Err(_) => {
                report(&services, Err(format!("the disk did not answer within {} s", PATIENCE.as_secs())));
                look.await.unwrap_or_else(|error| Err(error.to_string()))
            }
        };
        report(&services, found);
        actix_rt::time::sleep(INTERVAL).await;
    }
}

/// Measures both directories, also if the first is short. An error names what is short in each.
fn look(directories: &[PathBuf; 2], measure: impl Fn(&Path) -> io::Result<Room>) -> Result<(), String> {
    let mut faults = Vec::new();
    for (directory, name) in directories.iter().zip(["data", "output"]) {
        let fault = match measure(directory) {
            Ok(room) => {
                gauge!("ticker_disk_free_bytes", "directory" => name).set(room.bytes.to_f64());
                room.shortage()
            }
            Err(error) => Some(error.to_string()),
        };
        faults.extend(fault.map(|fault| format!("{}: {fault}", directory.display())));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn report(services: &Services, found: Result<(), String>) {
    let (disk, now) = (&services.published.vitals.disk, services.clock.now());
    match found {
        Ok(()) => disk.succeeds("enough space", now),
        Err(fault) => disk.fails(fault, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_bytes_or_files_are_a_shortage() {
        let enough = Room { bytes: FREE_BYTES_MIN, files: Some(FREE_FILES_MIN) };
        assert_eq!(enough.shortage(), None);
        assert_eq!(Room { files: None, ..enough }.shortage(), None);
        let few_bytes = Room { bytes: FREE_BYTES_MIN - 1, ..enough };
        assert_eq!(few_bytes.shortage().unwrap(), "255 MiB free, at least 256 needed");
        let few_files = Room { files: Some(999), ..enough };
        assert_eq!(few_files.shortage().unwrap(), "room for 999 files, at least 1000 needed");
    }

    #[test]
    fn a_short_directory_hides_no_shortage_of_the_other() {
        let directories = ["/data", "/output"].map(PathBuf::from);
        let room = |mib: u64| Room { bytes: mib << 20, files: None };
        assert_eq!(look(&directories, |_| Ok(room(256))), Ok(()));
        let found = look(&directories, |path| Ok(room(if path.ends_with("data") { 9 } else { 7 })));
        let both = "/data: 9 MiB free, at least 256 needed; /output: 7 MiB free, at least 256 needed";
        assert_eq!(found, Err(both.to_owned()));
        let found = look(&directories, |path| {
            if path.ends_with("data") { Err(io::Error::other("gone")) } else { Ok(room(7)) }
        });
        assert_eq!(found, Err("/data: gone; /output: 7 MiB free, at least 256 needed".to_owned()));
    }

    #[test]
    fn a_directory_that_does_not_exist_yet_has_the_room_of_its_parent() {
        let parent = tempfile::tempdir().unwrap();
        let room = Room::at(&parent.path().join("a/b")).unwrap();
        assert!(room.bytes > 0);
        assert_eq!(room.files, Room::at(parent.path()).unwrap().files);
    }
}
