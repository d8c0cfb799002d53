//! nginx's prefix: the files that the daemon puts there, and the test of nginx's configuration.

use std::{
    env, fs,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use atomic_write_file::AtomicWriteFile;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use tokio::sync::watch;

use super::workers;
use crate::{actors::disk_error::is_of_place, domain::listener::reachable, process::bound_to_this_thread};

/// Directories to look for nginx besides `PATH`, which leaves them out for users other than root.
const SBIN: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];
/// Time limit for nginx's test of its configuration. It may have to resolve names.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest part of nginx's output in an error, in characters.
const OUTPUT_MAX: usize = 2_000;

/// nginx, prepared but not started.
#[derive(Clone)]
pub struct PreparedNginx {
    /// Its prefix.
    pub place: NginxPlace,
    /// True once the daemon listens and its address is in nginx's configuration.
    pub is_open: watch::Receiver<bool>,
}

/// Reason for which nginx cannot run.
#[derive(Debug, thiserror::Error)]
pub enum NginxError {
    /// nginx is not installed.
    #[error("nginx is not installed, but --nginx asks for it (on Debian: apt-get install nginx-light)")]
    NotInstalled,
    /// An I/O failure.
    #[error("could not {doing}: {source}")]
    Io {
        /// Attempted action.
        doing: String,
        /// Error of the system.
        source: io::Error,
    },
    /// nginx refuses its configuration.
    #[error("nginx refuses {file}: {output}")]
    Refused {
        /// Path of the configuration, as given.
        file: PathBuf,
        /// Output of nginx.
        output: String,
    },
    /// nginx's workers may not enter a directory that they need.
    #[error(
        "nginx's workers run as {user}, who may not enter {closed}, so they cannot use {dir}: choose another directory with {flag}, or run the daemon as a user of its own",
        closed = .closed.display(),
        dir = .dir.display()
    )]
    Closed {
        /// Name of the workers' user.
        user: String,
        /// Directory that stops them.
        closed: PathBuf,
        /// Directory that they need.
        dir: PathBuf,
        /// Flag of the setting that chose it.
        flag: &'static str,
    },
    /// Another process uses this prefix.
    #[error("another daemon runs nginx in {0}: give each daemon a data directory of its own")]
    InUse(PathBuf),
    /// nginx's address is in use.
    #[error(
        "{0} is in use by another program (ss -ltnp 'sport = :{port}' names it), so nginx cannot listen there: stop it, or choose another address with --nginx-bind",
        port = .0.port()
    )]
    PortTaken(SocketAddr),
}

impl NginxError {
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// Returns true if a retry may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::InUse(_) | Self::PortTaken(_) => true,
            Self::Io { source, .. } => !is_of_place(source),
            // A host of the configuration that has no address: name servers may be late, as at boot.
            Self::Refused { output, .. } => output.contains("host not found in"),
            Self::NotInstalled | Self::Closed { .. } => false,
        }
    }
}

/// Settings of nginx.
#[derive(Clone, Debug)]
pub struct NginxSettings {
    /// Path of the nginx.conf.
    pub file: PathBuf,
    /// Address on which nginx listens.
    pub listen: SocketAddr,
    /// Directory of the published files.
    pub output_dir: PathBuf,
    /// Directory of all data; the prefix is made in it.
    pub data_dir: PathBuf,
}

/// A prepared prefix. Cheap to clone. It stays locked until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct NginxPlace {
    /// Path of the nginx binary.
    program: PathBuf,
    /// Canonical path of the prefix.
    prefix: PathBuf,
    settings: Arc<NginxSettings>,
    /// True if nginx can open /dev/stdout, for its access log.
    has_stdout: bool,
    _lock: Arc<Flock<File>>,
}

impl NginxPlace {
    /// Creates the prefix `<data-dir>/nginx` with the files that `nginx.conf` includes.
    ///
    /// # Errors
    ///
    /// [`NginxError`]
    pub fn prepare(settings: NginxSettings) -> Result<Self, NginxError> {
        let program = find_program().ok_or(NginxError::NotInstalled)?;
        let file = fs::canonicalize(&settings.file)
            .map_err(NginxError::io(format!("read {}", settings.file.display())))?;
        let output_dir = std::path::absolute(&settings.output_dir)
            .map_err(NginxError::io(format!("find {}", settings.output_dir.display())))?;
        let prefix = settings.data_dir.join("nginx");
        let doing = || NginxError::io(format!("make the directory {}", prefix.display()));
        fs::create_dir_all(&prefix).map_err(doing())?;
        let prefix = fs::canonicalize(&prefix).map_err(doing())?;
        let lock = lock(&prefix)?;
        let listen = format!("listen {};\n", settings.listen);
        let settings = Arc::new(settings);
        let mut place = Self { program, prefix, settings, has_stdout: true, _lock: Arc::new(lock) };
        place.link("nginx.conf", &file)?;
        place.link("www", &output_dir)?;
        place.write("listen.conf", &listen)?;
        // Last, since it may log: all of this is tried again while the disk is full.
        place.has_stdout = has_stdout();
        Ok(place)
    }

    /// Address on which nginx listens.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.settings.listen
    }

    /// Writes the daemon's address for nginx. nginx reads it at its next start or reload.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_upstream(&self, daemon: SocketAddr) -> Result<(), NginxError> {
        self.write("upstream.conf", &format!("server {};\n", reachable(daemon)))
    }

    /// Lets nginx test its configuration, and tests whether its workers can use their directories.
    ///
    /// # Errors
    ///
    /// [`NginxError::Refused`] with nginx's output, [`NginxError::Closed`], or the test could not run.
    pub async fn test(&self) -> Result<(), NginxError> {
        self.test_configuration().await?;
        let (prefix, output_dir) = (self.prefix.clone(), self.settings.output_dir.clone());
        crate::blocking::run(move || test_directories(&prefix, &output_dir)).await.unwrap_or_else(|_| {
            Err(NginxError::io("test nginx's directories")(io::Error::other("it panicked")))
        })
    }

    async fn test_configuration(&self) -> Result<(), NginxError> {
        let mut command = Command::new(&self.program);
        self.complete(&mut command).arg("-t").stdin(Stdio::null()).stderr(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let asked = tokio::time::timeout(TEST_TIMEOUT, command.kill_on_drop(true).output());
        let late = |_| io::Error::new(ErrorKind::TimedOut, "the test does not end");
        let output =
            asked.await.map_err(late).and_then(|output| output).map_err(NginxError::io("run nginx -t"))?;
        if output.status.success() {
            return Ok(());
        }
        let output: String =
            String::from_utf8_lossy(&output.stderr).trim().chars().take(OUTPUT_MAX).collect();
        Err(NginxError::Refused { file: self.settings.file.clone(), output: output.replace('\n', " | ") })
    }

    /// Returns the command for nginx in the foreground. nginx ends with the calling thread, so call this from a thread
    /// that lives as long as the process.
    pub(super) fn command(&self) -> Command {
        let mut command = bound_to_this_thread(&self.program, "TERM");
        self.complete(&mut command).args(["-g", "daemon off;"]);
        command
    }

    /// Removes the cache and pid file of an earlier run. The cache is older than the files, and the pid may belong to
    /// another process now.
    pub(super) async fn clear(&self) {
        // Missing files are fine. nginx itself reports files that cannot be removed.
        let (cache, pid_file) = (self.prefix.join("cache"), self.pid_file());
        let removed = crate::blocking::run(move || {
            let _ = fs::remove_dir_all(cache);
            let _ = fs::remove_file(pid_file);
        });
        let _ = removed.await;
    }

    /// Path of nginx's pid file, which nginx writes once it has opened its address.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.prefix.join("nginx.pid")
    }

    /// Adds the arguments and the environment that all invocations share.
    fn complete<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let mut prefix = self.prefix.clone().into_os_string();
        prefix.push("/");
        command.args(["-e", "stderr", "-p"]).arg(prefix).arg("-c").arg(self.prefix.join("nginx.conf"));
        // Do not pass on the daemon's environment: it holds secrets.
        command.env_clear();
        for name in ["PATH", "TZ"] {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        if !self.has_stdout {
            command.stdout(Stdio::null());
        }
        command
    }

    fn link(&self, name: &str, target: &Path) -> Result<(), NginxError> {
        // Renamed into place: if the disk is full, nginx keeps the old link.
        let (path, made) = (self.prefix.join(name), self.prefix.join(format!("{name}.new")));
        let doing = || NginxError::io(format!("make the link {}", path.display()));
        match fs::remove_file(&made) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(doing()(error)),
            _ => {}
        }
        symlink(target, &made).and_then(|()| fs::rename(&made, &path)).map_err(doing())
    }

    /// Replaces a file as a whole: if the disk is full, nginx keeps the old one.
    fn write(&self, name: &str, text: &str) -> Result<(), NginxError> {
        let path = self.prefix.join(name);
        let replaced = AtomicWriteFile::open(&path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.commit()
        });
        replaced.map_err(NginxError::io(format!("write {}", path.display())))
    }
}

/// nginx's own test runs as root and does not see what its workers may not enter. They would answer 503 for every file.
fn test_directories(prefix: &Path, output_dir: &Path) -> Result<(), NginxError> {
    let Some(user) = workers::other_user(prefix) else { return Ok(()) };
    let output_dir =
        std::path::absolute(output_dir).map_err(NginxError::io(format!("find {}", output_dir.display())))?;
    for (dir, flag) in [(prefix, "--data-dir"), (&output_dir, "--output-dir")] {
        if let Some(closed) = workers::closed_to(&user, dir) {
            return Err(NginxError::Closed { user: user.name, closed, dir: dir.to_owned(), flag });
        }
    }
    Ok(())
}

fn find_program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(SBIN.map(PathBuf::from));
    places.map(|place| place.join("nginx")).find(|program| program.is_file())
}

/// Returns true if nginx's access log can open /dev/stdout. That fails for a socket, which systemd gives, and for the
/// file of another user.
fn has_stdout() -> bool {
    let opened = OpenOptions::new().append(true).open("/dev/stdout");
    if let Err(error) = &opened {
        tracing::warn!(%error, "standard output cannot be reopened, nginx's access log is dropped");
    }
    opened.is_ok()
}

fn lock(prefix: &Path) -> Result<Flock<File>, NginxError> {
    let path = prefix.join("lock");
    let doing = || NginxError::io(format!("lock {}", path.display()));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(doing())?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => NginxError::InUse(prefix.to_owned()),
        errno => doing()(errno.into()),
    })
}
