//! A wall clock that only one process sees, by libfaketime of Debian.

use std::path::PathBuf;

use tempfile::TempDir;

use super::{not_tested, postgres::open_tempdir};

/// A clock that can be moved while its process runs.
pub(crate) struct FalseClock {
    library: PathBuf,
    directory: TempDir,
    offset: PathBuf,
}

/// libfaketime. Without it, says what was not tested.
pub(crate) fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let files = folders.chain(["/usr/lib".into()]).map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found = files.into_iter().find(|library| library.exists());
    if found.is_none() {
        not_tested("libfaketime is absent, so no clock was put wrong; ./ticker need faketime");
    }
    found
}

impl FalseClock {
    /// A clock that is still right, if the library is there.
    pub(crate) fn new() -> Option<Self> {
        let (library, directory) = (library()?, open_tempdir());
        let clock = Self { library, offset: directory.path().join("offset"), directory };
        clock.set("+0");
        Some(clock)
    }

    /// Environment of the process. Its monotonic clock stays right.
    pub(crate) fn environment(&self) -> [(&str, &str); 5] {
        [
            ("LD_PRELOAD", self.library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.to_str().unwrap()),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }

    /// Moves the clock this many seconds from the right time, such as `+3600`. It takes a second.
    pub(crate) fn set(&self, offset: &str) {
        let new = self.directory.path().join("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(&new, &self.offset).unwrap();
    }
}
