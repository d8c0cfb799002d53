//! Real replies and the old ticker's answers. They lie beside the project, and a clone may lack them.

use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures")
}

/// Returns true if the folder exists. Otherwise it prints that nothing was compared.
pub(crate) fn are_there() -> bool {
    let are_there = folder().is_dir();
    if !are_there {
        super::not_tested(&format!(
            "{} is absent: nothing was compared with real replies",
            folder().display()
        ));
    }
    are_there
}

/// Path of a file of it.
pub(crate) fn path(name: &Path) -> PathBuf {
    folder().join(name)
}

/// A file of it as text.
pub(crate) fn read(name: &Path) -> Option<String> {
    std::fs::read_to_string(path(name)).ok()
}

/// All files below a part of it, by their path in it.
pub(crate) fn files(part: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder().join(part)];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(folder()).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}
