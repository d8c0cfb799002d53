//! Output of a command: to standard output, or to a path that the operator names, which need not be a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use super::CommandError;
use crate::actors::{disk_error::is_of_place, json_writer::replace_bytes};

/// Prints a text. Returns false if the reader has seen enough.
pub(super) fn print(text: &str) -> Result<bool, CommandError> {
    let mut stdout = io::stdout().lock();
    // An unfinished last line stays in a buffer, and the end of the process hides its error.
    printed(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Result of printing: false if the reader has seen enough.
pub(super) fn printed(result: io::Result<()>) -> Result<bool, CommandError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CommandError::Unavailable(format!("standard output cannot be written: {error}"))),
    }
}

/// Writes all bytes. A reader of a file sees the whole old content or the whole new one. What is no file, such as
/// `/dev/stdout` or a pipe, is written to and never replaced.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // A link stays; the file that it names is replaced.
        Ok(there) if there.is_file() => replace_bytes(&fs::canonicalize(path)?, bytes),
        Ok(_) => OpenOptions::new().write(true).open(path).and_then(|there| write_through(there, bytes)),
        // A link to a file that does not exist yet.
        Err(_) if fs::symlink_metadata(path).is_ok() => {
            File::create(path).and_then(|file| write_through(file, bytes))
        }
        Err(_) => replace_bytes(path, bytes),
    }
}

/// Error for a path that cannot be written: the operator has to name another, or there is no room now.
pub(super) fn unwritable(flag: &str, path: &Path, error: &io::Error) -> CommandError {
    let text = format!("{flag} {}: {error}", path.display());
    if is_of_place(error) {
        return CommandError::Configuration(format!(
            "{text}: name a place that exists and that this user may write to"
        ));
    }
    CommandError::Unavailable(text)
}

fn write_through(mut there: File, bytes: &[u8]) -> io::Result<()> {
    there.write_all(bytes)?;
    there.flush()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt as _, symlink};

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn a_file_is_replaced_also_behind_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let [target, link, later] = ["target", "link", "later"].map(|name| directory.path().join(name));
        write(&target, b"old").unwrap();
        symlink(&target, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        let dangling = directory.path().join("dangling");
        symlink(&later, &dangling).unwrap();
        write(&dangling, b"first").unwrap();
        assert_eq!(fs::read(&later).unwrap(), b"first");
        for link in [&link, &dangling] {
            assert!(fs::symlink_metadata(link).unwrap().is_symlink(), "{}", link.display());
        }
    }

    #[test]
    fn a_loop_of_links_is_a_fault_of_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let looped = directory.path().join("loop");
        symlink(&looped, &looped).unwrap();
        let error = unwritable("-o", &looped, &write(&looped, b"x").unwrap_err());
        assert!(matches!(error, CommandError::Configuration(_)), "{error}");
    }

    #[test]
    fn a_pipe_is_written_to_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(&pipe, b"bytes").unwrap();
        assert_eq!(reader.join().unwrap(), b"bytes");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }

    #[test]
    fn what_cannot_take_the_bytes_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let kind = |path: &Path| write(path, b"bytes").map_err(|error| error.kind());
        assert_eq!(kind(Path::new("/dev/full")), Err(io::ErrorKind::StorageFull));
        assert_eq!(kind(directory.path()), Err(io::ErrorKind::IsADirectory));
        assert_eq!(kind(&directory.path().join("no/file")), Err(io::ErrorKind::NotFound));
    }
}
