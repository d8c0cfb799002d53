//! A file system that a test may fill, make read-only, or freeze.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Taken away when it is dropped.
pub(crate) struct SmallDisk {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one in memory. If this process may not mount, prints that and returns `None`.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        Self::mount_by(|_, path| {
            has_run("mount", &["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "tmpfs", path])
        })
    }

    /// One that can be frozen, which one in memory cannot.
    pub(crate) fn mount_freezable(size: &str) -> Option<Self> {
        Self::mount_by(|image, path| {
            has_run("truncate", &["-s", size, image])
                && has_run("mkfs.ext4", &["-q", image])
                && has_run("mount", &["-o", "loop,noatime", image, path])
        })
    }

    fn mount_by(mount: impl FnOnce(&str, &str) -> bool) -> Option<Self> {
        let directory = super::postgres::open_tempdir();
        let (path, image) = (directory.path().join("disk"), directory.path().join("image"));
        std::fs::create_dir(&path).unwrap();
        if mount(image.to_str().unwrap(), path.to_str().unwrap()) {
            return Some(Self { path, _directory: directory });
        }
        super::not_tested("a small disk cannot be mounted here (that takes root), so none was ill-treated");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn remount(&self, how: &str) {
        self.run("mount", &["-o", &format!("remount,{how}")]);
    }

    /// Fills the disk completely.
    pub(crate) fn fill(&self) {
        let Err(_) = std::fs::write(self.path.join("ballast"), vec![1; 1 << 29]) else {
            panic!("the disk took everything")
        };
    }

    pub(crate) fn relieve(&self) {
        std::fs::remove_file(self.path.join("ballast")).unwrap();
    }

    /// Writers wait from now on, as they do when the server of a network file system is gone.
    pub(crate) fn freeze(&self) {
        self.run("fsfreeze", &["--freeze"]);
    }

    pub(crate) fn thaw(&self) {
        self.run("fsfreeze", &["--unfreeze"]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.path.to_str().unwrap();
        assert!(has_run(program, &[arguments, &[path]].concat()), "{program} {arguments:?} {path}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path = self.path.to_str().unwrap();
        // Needed if a test ended early. Otherwise it fails because nothing is frozen.
        has_run("fsfreeze", &["--unfreeze", path]);
        // Lazily: what is open on it goes when it is closed.
        has_run("umount", &["-l", path]);
    }
}

fn has_run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}
