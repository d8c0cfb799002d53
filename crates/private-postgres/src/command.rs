//! Running the programs of the server: their user, their deadline, and their output.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::account::Account;
use super::child_process::bound_to_this_thread;
use super::error::PrivatePostgresError;

/// Pause between two checks of another process.
const POLL: Duration = Duration::from_millis(20);
/// Bytes of the log that go into an error.
const LOG_TAIL_BYTES: u64 = 2_000;
/// Size in bytes above which the log of earlier runs is renamed to `pg.log.old` at start.
const LOG_KEEP_BYTES: u64 = 10 << 20;

/// Deadline of the whole start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    started: Instant,
    total: Duration,
}

impl Deadline {
    pub(super) fn after(total: Duration) -> Self {
        Self { started: Instant::now(), total }
    }

    pub(super) fn is_over(&self) -> bool {
        self.started.elapsed() >= self.total
    }

    /// Returns the remaining time.
    pub(super) fn left(&self) -> Duration {
        self.total.saturating_sub(self.started.elapsed())
    }

    /// Sleeps for one poll. After the deadline returns an error that names `what`.
    pub(super) fn pause_or(&self, what: &str) -> Result<(), PrivatePostgresError> {
        let waited_s = self.total.as_secs();
        self.pause_or_else(|| PrivatePostgresError::DeadlineExceeded { what: what.to_owned(), waited_s })
    }

    /// Sleeps for one poll. After the deadline returns the error of `late`.
    pub(super) fn pause_or_else(
        &self,
        late: impl FnOnce() -> PrivatePostgresError,
    ) -> Result<(), PrivatePostgresError> {
        if self.is_over() {
            return Err(late());
        }
        pause();
        Ok(())
    }
}

/// Sleeps for one poll.
#[expect(clippy::disallowed_methods, reason = "runs on the keeper's own thread, or on a test's")]
pub(super) fn pause() {
    std::thread::sleep(POLL);
}

/// Returns a command that runs as `account`. On Linux it gets `death_signal` when the calling thread ends.
pub(super) fn command_as(account: &Account, program: &Path, death_signal: &str) -> Command {
    let mut command = bound_to_this_thread(program, death_signal);
    if account.is_other_user {
        // The standard library drops all supplementary groups along with root.
        command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
    }
    for variable in ["PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGDATABASE", "PGOPTIONS"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command until it ends or the deadline passes. Writes `input` to its standard input, and its output to the
/// log.
pub(super) fn run(
    what: &'static str,
    mut command: Command,
    input: &str,
    log: &ServerLog,
    deadline: &Deadline,
) -> Result<(), PrivatePostgresError> {
    command.stdin(Stdio::piped()).stdout(log.stdio()?).stderr(log.stdio()?);
    let mut child = command.spawn().map_err(PrivatePostgresError::io(format!("run {what}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ended early writes the reason into the log. An error of the broken pipe would hide it.
        let _written = stdin.write_all(input.as_bytes());
    }
    loop {
        if let Some(status) = wait(what, &mut child)? {
            return if status.success() { Ok(()) } else { Err(log.failure(what, &status.to_string())) };
        }
        if let Err(late) = deadline.pause_or(what) {
            let _killed = child.kill();
            let _reaped = child.wait();
            return Err(late);
        }
    }
}

/// Returns the exit status if the child has ended.
pub(super) fn wait(
    what: &'static str,
    child: &mut Child,
) -> Result<Option<std::process::ExitStatus>, PrivatePostgresError> {
    child.try_wait().map_err(PrivatePostgresError::io(format!("wait for {what}")))
}

/// Log file of the server and of initdb.
#[derive(Debug)]
pub(super) struct ServerLog {
    file: File,
    path: PathBuf,
    /// Offset in bytes at which the lines of this run begin.
    start: u64,
}

impl ServerLog {
    pub(super) fn open(path: &Path) -> Result<Self, PrivatePostgresError> {
        let doing = || PrivatePostgresError::io(format!("open {}", path.display()));
        if std::fs::metadata(path).is_ok_and(|found| found.len() > LOG_KEEP_BYTES) {
            std::fs::rename(path, path.with_extension("log.old")).map_err(doing())?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(doing())?;
        let start = file.metadata().map_err(doing())?.len();
        Ok(Self { file, path: path.to_owned(), start })
    }

    /// Returns a handle for the output of a child.
    pub(super) fn stdio(&self) -> Result<Stdio, PrivatePostgresError> {
        let copy = self.file.try_clone();
        copy.map(Stdio::from).map_err(PrivatePostgresError::io("duplicate the log's handle"))
    }

    /// Returns an error that quotes the last lines of this run.
    pub(super) fn failure(&self, what: &'static str, status: &str) -> PrivatePostgresError {
        let output = self.tail().unwrap_or_else(|_| format!("see {}", self.path.display()));
        PrivatePostgresError::Failed { what, status: status.to_owned(), output }
    }

    fn tail(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let begin = self.start.max(file.metadata()?.len().saturating_sub(LOG_TAIL_BYTES));
        file.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().replace('\n', " | "))
    }
}

/// Returns a path as one word of a shell command.
pub(super) fn shell_quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_only_paths_that_a_shell_would_split_or_expand() {
        assert_eq!(shell_quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(shell_quoted(Path::new("/it's here")), r"'/it'\''s here'");
    }

    #[test]
    fn an_error_quotes_only_this_runs_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pg.log");
        std::fs::write(&path, "an old line\n").unwrap();
        let log = ServerLog::open(&path).unwrap();
        let account = Account::for_server(dir.path()).unwrap();
        let mut command = command_as(&account, Path::new("sh"), "KILL");
        command.args(["-c", "echo first; echo second >&2; exit 3"]);
        let deadline = Deadline::after(Duration::from_secs(60));
        let text = run("sh", command, "", &log, &deadline).unwrap_err().to_string();
        assert_eq!(text, "sh ended with exit status: 3: first | second");
    }
}
