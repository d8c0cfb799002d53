//! Where nginx lives: its prefix, what the daemon puts in there, and whether nginx takes its configuration.

use std::{
    env, fs,
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::{domain::listener::reachable, process::bound_to_this_thread};

/// Where nginx is when `PATH` does not say: it leaves these out for users who are not root.
const SBIN: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];
/// How long nginx may look at its configuration; names in it are looked up.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);
/// As much of nginx's words goes into an error, in characters.
const WORDS_MAX: usize = 2_000;

/// Why nginx cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum NginxError {
    /// There is no such program.
    #[error("nginx is not installed, but --nginx asks for it (on Debian: apt-get install nginx-light)")]
    NotInstalled,
    /// A file or a program could not be used.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// nginx does not take the file.
    #[error("nginx does not take {file}: {words}")]
    Refused {
        /// The file, as given.
        file: PathBuf,
        /// What nginx said.
        words: String,
    },
    /// Another process has this prefix.
    #[error("another daemon runs nginx in {0}: each needs a data directory of its own")]
    InUse(PathBuf),
    /// Its address is not free.
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

    /// Whether the same may succeed a little later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::InUse(_) | Self::PortTaken(_))
    }
}

/// What the operator chose.
#[derive(Clone, Debug)]
pub struct NginxSettings {
    /// The nginx.conf.
    pub file: PathBuf,
    /// Where nginx listens.
    pub listen: SocketAddr,
    /// Directory of the published files.
    pub output_dir: PathBuf,
    /// Directory of all data; the prefix is made in it.
    pub data_dir: PathBuf,
}

/// The prefix, with everything in it. Cheap to clone; the lock goes with the last one.
#[derive(Clone, Debug)]
pub struct NginxPlace {
    program: PathBuf,
    prefix: PathBuf,
    settings: Arc<NginxSettings>,
    /// nginx can open its standard output anew, for the access log.
    has_stdout: bool,
    _lock: Arc<Flock<File>>,
}

impl NginxPlace {
    /// Makes the prefix `<data-dir>/nginx`, and puts into it what `nginx.conf` expects there.
    ///
    /// # Errors
    ///
    /// See [`NginxError`]
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
        let has_stdout = has_stdout();
        let place = Self { program, prefix, settings: Arc::new(settings), has_stdout, _lock: Arc::new(lock) };
        place.link("nginx.conf", &file)?;
        place.link("www", &output_dir)?;
        place.write("listen.conf", &listen)?;
        Ok(place)
    }

    /// Where nginx listens.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.settings.listen
    }

    /// Tells nginx where the daemon listens; heeded at its next start or reload.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_upstream(&self, daemon: SocketAddr) -> Result<(), NginxError> {
        self.write("upstream.conf", &format!("server {};\n", reachable(daemon)))
    }

    /// Asks nginx whether it takes the configuration.
    ///
    /// # Errors
    ///
    /// [`NginxError::Refused`] with nginx's own words, or it could not be asked.
    pub async fn test(&self) -> Result<(), NginxError> {
        let mut command = Command::new(&self.program);
        self.complete(&mut command).arg("-t").stdin(Stdio::null()).stderr(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let asked = tokio::time::timeout(TEST_TIMEOUT, command.kill_on_drop(true).output());
        let late = |_| io::Error::new(ErrorKind::TimedOut, "it does not end");
        let output =
            asked.await.map_err(late).and_then(|output| output).map_err(NginxError::io("run nginx -t"))?;
        if output.status.success() {
            return Ok(());
        }
        let words: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(WORDS_MAX).collect();
        Err(NginxError::Refused { file: self.settings.file.clone(), words: words.replace('\n', " | ") })
    }

    /// nginx in the foreground, which ends with the calling thread: call it from one that lives as long as the process.
    pub(super) fn command(&self) -> Command {
        let mut command = bound_to_this_thread(&self.program, "TERM");
        self.complete(&mut command).args(["-g", "daemon off;"]);
        command
    }

    /// What nginx kept of an earlier run: it is older than the files, and its numbers mean other processes now.
    pub(super) async fn clear(&self) {
        // What is not there need not be removed, and what cannot be is told by nginx.
        let (cache, pid_file) = (self.prefix.join("cache"), self.pid_file());
        let removed = crate::blocking::run(move || {
            let _ = fs::remove_dir_all(cache);
            let _ = fs::remove_file(pid_file);
        });
        let _ = removed.await;
    }

    /// Written by nginx once it has its address.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.prefix.join("nginx.pid")
    }

    /// The arguments and surroundings that are always the same.
    fn complete<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let mut prefix = self.prefix.clone().into_os_string();
        prefix.push("/");
        command.args(["-e", "stderr", "-p"]).arg(prefix).arg("-c").arg(self.prefix.join("nginx.conf"));
        // Nothing of the daemon's environment: there are secrets in it.
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
        let path = self.prefix.join(name);
        let doing = || NginxError::io(format!("make the link {}", path.display()));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(doing()(error)),
            _ => {}
        }
        symlink(target, &path).map_err(doing())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), NginxError> {
        let path = self.prefix.join(name);
        fs::write(&path, text).map_err(NginxError::io(format!("write {}", path.display())))
    }
}

fn find_program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(SBIN.map(PathBuf::from));
    places.map(|place| place.join("nginx")).find(|program| program.is_file())
}

/// The access log opens /dev/stdout anew. A socket does not permit that, and systemd gives one; nor does the file of
/// another user.
fn has_stdout() -> bool {
    let opened = OpenOptions::new().append(true).open("/dev/stdout");
    if let Err(error) = &opened {
        tracing::warn!(%error, "standard output cannot be opened anew: nginx's access log is dropped");
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
