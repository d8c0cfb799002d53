//! Paths of the cluster, its socket, its log and its lock.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Uid;
use xxhash_rust::xxh3::xxh3_64;

use super::account::{Account, user_name};
use super::command::command_as;
use super::error::PrivatePostgresError;
use super::postmaster::PORT;

/// Parent of the cluster if the server's user may not enter the data directory (`/root` has mode 0700).
const FALLBACK_ROOT: &str = "/var/lib/stellar-ticker";
/// Parent of the socket's directory if its path would be too long. Not `TMPDIR`, which may be long itself.
const SHORT_SOCKET_ROOT: &str = "/tmp";
/// Longest path of a socket in bytes. Linux accepts 107, macOS 103.
const SOCKET_PATH_MAX_BYTES: usize = 100;

/// The paths of one data directory's private server.
#[derive(Debug)]
pub(super) struct ClusterPaths {
    /// `PGDATA`.
    pub(super) cluster: PathBuf,
    pub(super) log: PathBuf,
    pub(super) note: Option<String>,
    data_dir: PathBuf,
}

/// Creates the data directory if it is missing. Returns its absolute path without symlinks.
pub(super) fn make_data_dir(data_dir: &Path) -> Result<PathBuf, PrivatePostgresError> {
    let made = fs::create_dir_all(data_dir).and_then(|()| fs::canonicalize(data_dir));
    made.map_err(|source| PrivatePostgresError::DataDir { data_dir: data_dir.to_owned(), source })
}

/// Returns true if a cluster was ever created for a data directory. Creates nothing.
pub(super) fn holds_cluster(data_dir: &Path) -> bool {
    fs::symlink_metadata(data_dir.join("pg")).is_ok()
}

impl ClusterPaths {
    /// Chooses `<data>/pg`, or a directory below [`FALLBACK_ROOT`] with a symlink if the server's user may not enter
    /// the data directory.
    pub(super) fn choose(data_dir: &Path, account: &Account) -> Result<Self, PrivatePostgresError> {
        let cluster = data_dir.join("pg");
        // If the target of the link was deleted, a new cluster is created there.
        if let Ok(target) = fs::read_link(&cluster) {
            let target = data_dir.join(target); // a relative target begins at the link
            if let Some(home) = target.parent() {
                make_fallback_home(home)?;
            }
            return Ok(Self::in_fallback(data_dir, target));
        }
        if !account.is_other_user || may_enter(data_dir, account) {
            return Ok(Self {
                cluster,
                log: data_dir.join("pg.log"),
                note: None,
                data_dir: data_dir.to_owned(),
            });
        }
        if cluster.exists() {
            let path = data_dir.to_owned();
            return Err(PrivatePostgresError::Unreachable { path, user: account.name() });
        }
        let home = Path::new(FALLBACK_ROOT).join(short_name(data_dir));
        make_fallback_home(&home)?;
        let target = home.join("pg");
        symlink(&target, &cluster)
            .map_err(PrivatePostgresError::io(format!("make the symlink {}", cluster.display())))?;
        Ok(Self::in_fallback(data_dir, target))
    }

    fn in_fallback(data_dir: &Path, cluster: PathBuf) -> Self {
        let note = format!(
            "the data of the private PostgreSQL lie in {}, because the unprivileged user that runs it may not enter {}",
            cluster.display(),
            data_dir.display()
        );
        Self { log: data_dir.join("pg.log"), cluster, note: Some(note), data_dir: data_dir.to_owned() }
    }

    /// Takes the lock of the process that runs the server. Returns None if another living process has it. The kernel
    /// releases it when its holder ends, for whatever reason.
    pub(super) fn try_lock(&self) -> Result<Option<Flock<File>>, PrivatePostgresError> {
        let path = self.data_dir.join("pg.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        // The directory may belong to another user, as after a start as root.
        let file =
            file.map_err(|source| PrivatePostgresError::DataDir { data_dir: self.data_dir.clone(), source })?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                // Only for error messages of other processes. A failure does not weaken the lock.
                let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
                Ok(Some(lock))
            }
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => {
                Err(PrivatePostgresError::io(format!("lock {}", path.display()))(errno.into()))
            }
        }
    }

    /// Returns the process id of the lock's holder, if the lock file has it.
    pub(super) fn lock_holder(&self) -> Option<u32> {
        fs::read_to_string(self.data_dir.join("pg.lock")).ok()?.trim().parse().ok()
    }

    /// Returns the absolute data directory.
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Creates the directory of the socket, with mode 0700 and owned by the server's user. It is beside the cluster, or
    /// in `/tmp` if clients could not use it there: the kernel limits the length of the path, and clients take a comma
    /// for the end of a host.
    pub(super) fn make_socket_dir(&self, account: &Account) -> Result<PathBuf, PrivatePostgresError> {
        let beside = self.cluster.with_file_name("pg-socket");
        let socket = beside.join(format!(".s.PGSQL.{PORT}"));
        let path = socket.as_os_str().as_bytes();
        let dir = if path.len() <= SOCKET_PATH_MAX_BYTES && !path.contains(&b',') {
            beside
        } else {
            Path::new(SHORT_SOCKET_ROOT).join(format!("stellar-ticker-{}", short_name(&self.data_dir)))
        };
        make_private_dir(&dir, account)?;
        Ok(dir)
    }
}

/// Returns a name of 16 characters for a data directory.
fn short_name(data_dir: &Path) -> String {
    format!("{:016x}", xxh3_64(data_dir.as_os_str().as_bytes()))
}

/// Creates the parents of a cluster outside the data directory. Every user may pass through them, whatever the umask.
fn make_fallback_home(home: &Path) -> Result<(), PrivatePostgresError> {
    let doing = || PrivatePostgresError::io(format!("make {}", home.display()));
    if home.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(home).map_err(doing())?;
    for dir in home.ancestors().take_while(|dir| dir.starts_with(FALLBACK_ROOT)) {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(doing())?;
    }
    Ok(())
}

/// Creates a directory of mode 0700 that belongs to the server's user, or accepts an existing one that does.
///
/// A directory of another user is refused: in `/tmp` anyone could have created it.
pub(super) fn make_private_dir(dir: &Path, account: &Account) -> Result<(), PrivatePostgresError> {
    let doing = || PrivatePostgresError::io(format!("make {}", dir.display()));
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) if account.is_other_user => {
            let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
            chown(dir, Some(uid), Some(gid)).map_err(doing())?;
        }
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(doing()(error)),
    }
    let found = fs::symlink_metadata(dir).map_err(doing())?;
    if !found.is_dir() || found.uid() != account.uid.as_raw() {
        let owner = user_name(Uid::from_raw(found.uid()));
        return Err(PrivatePostgresError::WrongOwner { path: dir.to_owned(), owner, user: account.name() });
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(doing())
}

/// Returns true if the server's user can enter a directory. Tries it in a child process, because the mode alone does
/// not show access lists and mount options.
fn may_enter(dir: &Path, account: &Account) -> bool {
    let mut ask = command_as(account, Path::new("sh"), "KILL");
    ask.args(["-c", "cd -- \"$1\"", "sh"]).arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
    ask.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths_in(dir: &Path) -> (ClusterPaths, Account) {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
        let account = Account::for_server(dir).unwrap();
        (ClusterPaths::choose(dir, &account).unwrap(), account)
    }

    #[test]
    fn gives_the_lock_to_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, _) = paths_in(dir.path());
        let held = paths.try_lock().unwrap();
        assert!(held.is_some());
        assert!(paths.try_lock().unwrap().is_none());
        assert_eq!(paths.lock_holder(), Some(std::process::id()));
        drop(held);
        assert!(paths.try_lock().unwrap().is_some());
    }

    #[test]
    fn the_socket_directory_is_for_the_servers_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, account) = paths_in(dir.path());
        let made = paths.make_socket_dir(&account).unwrap();
        let found = fs::metadata(&made).unwrap();
        assert_eq!((found.mode() & 0o777, found.uid()), (0o700, account.uid.as_raw()));
        assert_eq!(paths.make_socket_dir(&account).unwrap(), made);
    }

    #[test]
    fn refuses_a_socket_directory_that_is_a_symlink() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, account) = paths_in(dir.path());
        symlink("/tmp", dir.path().join("pg-socket")).unwrap();
        let refused = paths.make_socket_dir(&account);
        assert!(matches!(refused, Err(PrivatePostgresError::WrongOwner { .. })), "{refused:?}");
    }
}
