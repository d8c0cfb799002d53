//! Objects as files of a directory, as Galexie writes them with its type `Filesystem`.

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use nix::fcntl::OFlag;
use tokio::sync::Semaphore;

use super::{
    LakeError,
    error::{OBJECT_BYTES_MAX, SILENCE_MAX},
    listing::first_ledger,
};
use crate::{blocking, domain::conversions::SaturatingFrom};

/// Most files that are read at once: fewer than the pool has threads, which others need too.
const TURNS_MAX: usize = 4;
/// Newest partitions that are looked into for the newest object. One is empty while its first object is written, and
/// stays so if its writer was stopped then.
const PARTITIONS_MAX: u32 = 2;
/// Turns to use a thread.
static TURNS: Semaphore = Semaphore::const_new(TURNS_MAX);

/// Reads a file. `None` if it does not exist.
pub(super) async fn fetch(path: PathBuf) -> Result<Option<Bytes>, LakeError> {
    on_a_thread(move || match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&path, &error)),
        Ok(bytes) if bytes.len() > OBJECT_BYTES_MAX => Err(LakeError::TooLarge(OBJECT_BYTES_MAX)),
        Ok(bytes) => Ok(Some(bytes.into())),
    })
    .await
}

pub(super) async fn has(path: PathBuf) -> Result<bool, LakeError> {
    on_a_thread(move || path.try_exists().map_err(|error| failed(&path, &error))).await
}

/// First ledger of the newest object. Names begin with the reversed number, so the newest sorts first.
pub(super) async fn newest(path: PathBuf) -> Result<Option<u32>, LakeError> {
    on_a_thread(move || {
        let mut empty: Option<String> = None;
        for _ in 0..PARTITIONS_MAX {
            let first = first_name(&path, empty.as_deref()).map_err(|error| failed(&path, &error))?;
            let Some(first) = first else { break };
            let inner = path.join(&first);
            if !inner.is_dir() {
                return Ok(first_ledger(&first));
            }
            if let Some(name) = first_name(&inner, None).map_err(|error| failed(&inner, &error))? {
                return Ok(first_ledger(&name));
            }
            empty = Some(first);
        }
        Ok(None)
    })
    .await
}

/// Name of the first entry that is a partition or an object, and sorts behind `after`.
fn first_name(directory: &Path, after: Option<&str>) -> io::Result<Option<String>> {
    let mut first: Option<String> = None;
    for entry in std::fs::read_dir(directory)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let is_place = first_ledger(&name).is_some() && !name.ends_with(".part");
        let is_behind = after.is_none_or(|after| name.as_str() > after);
        if is_place && is_behind && first.as_ref().is_none_or(|first| name < *first) {
            first = Some(name);
        }
    }
    Ok(first)
}

/// Reads a file, one byte more than allowed at most.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::saturating_from(OBJECT_BYTES_MAX).saturating_add(1);
    let mut bytes = Vec::new();
    // Opening a pipe would wait for a writer.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn failed(path: &Path, error: &io::Error) -> LakeError {
    LakeError::Directory(format!("{}: {error}", path.display()))
}

/// Runs `work`. The directory of a network file system whose server is gone never answers: its threads stay, and later
/// work fails without one.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LakeError> + Send + 'static,
) -> Result<T, LakeError> {
    let joined = tokio::time::timeout(SILENCE_MAX, async {
        let turn = TURNS.acquire().await;
        blocking::run(move || {
            let _turn = turn;
            work()
        })
        .await
    });
    let joined = joined.await.map_err(|_| LakeError::Silent(SILENCE_MAX))?;
    joined.unwrap_or_else(|_| Err(LakeError::Directory("the reading thread failed".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_directory_that_never_answers_keeps_a_few_threads_only() {
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let stuck = std::sync::Arc::new(std::sync::Mutex::new(stuck));
        for _ in 0..2 * TURNS_MAX {
            let stuck = std::sync::Arc::clone(&stuck);
            let read = on_a_thread(move || Ok(stuck.lock().map(|stuck| stuck.recv()).is_ok())).await;
            assert!(matches!(read, Err(LakeError::Silent(_))), "{read:?}");
        }
        assert_eq!(TURNS.available_permits(), 0);
        assert_eq!(blocking::run(|| 5).await.unwrap(), 5, "other work has threads left");
        drop(release);
        while TURNS.available_permits() < TURNS_MAX {
            tokio::task::yield_now().await;
        }
        tokio::time::resume();
        assert!(on_a_thread(|| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn the_newest_object_is_found_below_a_partition_that_is_still_empty() {
        let directory = tempfile::tempdir().unwrap();
        let newest_of = || newest(directory.path().to_owned());
        let partition = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let older = partition("FFFFFFFF--0-99");
        assert_eq!(newest_of().await.unwrap(), None);
        std::fs::write(older.join("FFFFFFE0--31.xdr.zst"), "").unwrap();
        std::fs::write(older.join("FFFFFFE1--30.xdr.zst"), "").unwrap();
        assert_eq!(newest_of().await.unwrap(), Some(31));
        let newer = partition("FFFFFF9B--100-199");
        std::fs::write(newer.join("FFFFFF9B--100.xdr.zst.part"), "").unwrap();
        assert_eq!(newest_of().await.unwrap(), Some(31));
        std::fs::write(newer.join("FFFFFF9B--100.xdr.zst"), "").unwrap();
        assert_eq!(newest_of().await.unwrap(), Some(100));
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("object");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe, directory.path().to_owned()] {
            let error = fetch(path).await.unwrap_err();
            assert!(matches!(&error, LakeError::Directory(text) if text.ends_with("not a file")), "{error}");
        }
    }
}
