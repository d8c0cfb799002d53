//! The server process: starting it, detecting that it is ready, stopping it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account::Account;
use super::binaries::Binaries;
use super::command::{Deadline, ServerLog, command_as, pause, wait};
use super::error::PrivatePostgresError;

/// Port in the name of the socket. The server does not listen on TCP.
pub(super) const PORT: u16 = 5432;
/// Part of PostgreSQL's error if the postmaster was killed and its child processes still run.
const SESSIONS_REMAIN: &str = "pre-existing shared memory block";
/// Time limits of the signals for stopping: SIGINT writes everything, SIGQUIT makes the next start replay the log, and
/// SIGKILL loses nothing more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StopLimits {
    fast: Duration,
    immediate: Duration,
    kill: Duration,
}

impl StopLimits {
    /// Limits for a command that can wait until a server with a slow disk has written everything.
    pub(super) const PATIENT: Self = Self {
        fast: Duration::from_secs(20),
        immediate: Duration::from_secs(10),
        kill: Duration::from_secs(5),
    };

    /// Limits that amount to `total`. Most of it is for writing everything.
    pub(super) fn within(total: Duration) -> Self {
        let part = total / 8;
        Self { fast: part * 5, immediate: part * 2, kill: part }
    }
}

/// A server of this cluster that accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) pid: i32,
    pub(super) port: u16,
    pub(super) socket_dir: PathBuf,
}

/// Content of `postmaster.pid`. The server writes it in steps, so later lines may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PidFile {
    pid: i32,
    port: Option<u16>,
    socket_dir: Option<PathBuf>,
    is_ready: bool,
}

impl PidFile {
    fn read(cluster: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(cluster.join("postmaster.pid")).ok()?)
    }

    /// Parses the lines: pid, data directory, start time, port, socket directory, address, shared memory, status.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        Some(Self {
            pid: lines.next()?.trim().parse().ok().filter(|pid| *pid > 0)?,
            port: lines.nth(2).and_then(|line| line.trim().parse().ok()),
            socket_dir: lines.next().filter(|line| !line.is_empty()).map(PathBuf::from),
            is_ready: lines.nth(2).is_some_and(|line| line.trim() == "ready"),
        })
    }
}

/// Parameters for starting the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch<'a> {
    pub(super) cluster: &'a Path,
    pub(super) socket_dir: &'a Path,
    pub(super) binaries: &'a Binaries,
    pub(super) account: &'a Account,
    pub(super) fsync: bool,
    pub(super) max_connections: u16,
    pub(super) log: &'a ServerLog,
}

/// Starts the server and returns when it accepts connections. After an error no process is left running.
///
/// The caller has the lock of the data directory, and no server of the cluster runs. So a lock file of the socket is
/// one that a killed server left. PostgreSQL would refuse to start if its pid belonged to another program by now.
pub(super) fn start(launch: Launch<'_>, deadline: &Deadline) -> Result<Child, PrivatePostgresError> {
    remove_if_present(&launch.socket_dir.join(format!(".s.PGSQL.{PORT}.lock")))?;
    loop {
        let mut child = spawn(launch)?;
        match wait_until_ready(&mut child, launch.cluster, launch.log, deadline) {
            Ok(()) => return Ok(child),
            Err(PrivatePostgresError::Failed { output, .. }) if output.contains(SESSIONS_REMAIN) => {
                deadline.pause_or("the sessions of a killed server to end")?;
            }
            Err(error) => {
                stop_child(&mut child, StopLimits::PATIENT);
                return Err(error);
            }
        }
    }
}

fn spawn(launch: Launch<'_>) -> Result<Child, PrivatePostgresError> {
    let Launch { cluster, socket_dir, binaries, account, fsync, max_connections, log } = launch;
    // SIGINT as the death signal: after `kill -9` of the daemon, the server still shuts down cleanly.
    let mut command = command_as(account, &binaries.postgres(), "INT");
    command.arg("-D").arg(cluster).arg("-k").arg(socket_dir);
    let mut settings = vec![
        "listen_addresses=".to_owned(),
        format!("port={PORT}"),
        format!("max_connections={max_connections}"),
        // A write locks the tables of all days that are kept. The default suffices for some hundred days.
        "max_locks_per_transaction=512".to_owned(),
        "unix_socket_permissions=0700".to_owned(),
        // The log is not rotated while the server runs, so avoid a line for each checkpoint.
        "log_checkpoints=off".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
    ];
    if !fsync {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    for setting in &settings {
        command.arg("-c").arg(setting);
    }
    command.stdout(log.stdio()?).stderr(log.stdio()?);
    command.spawn().map_err(PrivatePostgresError::io("run postgres"))
}

/// Returns when the child accepts connections. Fails if it ends or the deadline passes before.
fn wait_until_ready(
    child: &mut Child,
    cluster: &Path,
    log: &ServerLog,
    deadline: &Deadline,
) -> Result<(), PrivatePostgresError> {
    loop {
        if let Some(status) = wait("postgres", child)? {
            return Err(log.failure("postgres", &status.to_string()));
        }
        // After a crash the old file names another pid until the server replaces it.
        let ours = PidFile::read(cluster).filter(|file| u32::try_from(file.pid) == Ok(child.id()));
        if ours.is_some_and(|file| file.is_ready) {
            return Ok(());
        }
        deadline.pause_or("the private PostgreSQL to be ready (after a crash it first replays its log)")?;
    }
}

/// Returns the server of another process if it is ready.
pub(super) fn ready_server(cluster: &Path) -> Option<Running> {
    let file = PidFile::read(cluster).filter(|file| file.is_ready && is_server_of(file.pid, cluster))?;
    Some(Running { pid: file.pid, port: file.port?, socket_dir: file.socket_dir? })
}

/// Stops a server that outlived its process, or waits for one that its death signal is stopping.
///
/// The caller has the lock, so no living process of ours runs the server. If `postmaster.pid` names a dead process,
/// PostgreSQL deals with it. If it names a living process of another program (in a container the same pids return
/// soon), it is removed, because PostgreSQL would refuse to start.
pub(super) fn stop_survivor(cluster: &Path, deadline: &Deadline) -> Result<(), PrivatePostgresError> {
    let Some(file) = PidFile::read(cluster) else { return Ok(()) };
    let pid = Pid::from_raw(file.pid);
    if !is_server_of(file.pid, cluster) {
        if kill(pid, None).is_ok() && PidFile::read(cluster).as_ref() == Some(&file) {
            tracing::warn!(pid = file.pid, "removing a postmaster.pid that names another program");
            return remove_if_present(&cluster.join("postmaster.pid"));
        }
        return Ok(());
    }
    tracing::info!(pid = file.pid, "stopping the private PostgreSQL that an earlier process left");
    send(pid, Signal::SIGINT);
    while is_server_of(file.pid, cluster) {
        deadline.pause_or("the private PostgreSQL of an earlier process to stop")?;
    }
    Ok(())
}

fn remove_if_present(path: &Path) -> Result<(), PrivatePostgresError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(PrivatePostgresError::io(format!("remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Returns true if a process is the server of this cluster. Checks its command line, which the server never changes.
fn is_server_of(pid: i32, cluster: &Path) -> bool {
    let cluster = cluster.to_string_lossy();
    if Path::new("/proc/self/cmdline").exists() {
        // Empty for a zombie, which counts as ended.
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        return line.split(|byte| *byte == 0).any(|argument| argument == cluster.as_bytes());
    }
    let mut ps = Command::new("ps");
    ps.args(["-o", "args=", "-p", &pid.to_string()]).stdin(Stdio::null());
    ps.output().is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(cluster.as_ref()))
}

/// Stops our own child and waits for its end, with three signals.
pub(super) fn stop_child(child: &mut Child, limits: StopLimits) {
    let Ok(pid) = i32::try_from(child.id()).map(Pid::from_raw) else { return };
    let steps =
        [(Signal::SIGINT, limits.fast), (Signal::SIGQUIT, limits.immediate), (Signal::SIGKILL, limits.kill)];
    for (signal, patience) in steps {
        // The pid of a reaped child may belong to another process by now, which must not get the signal.
        if has_ended(child) {
            return;
        }
        send(pid, signal);
        let deadline = Deadline::after(patience);
        while !deadline.is_over() {
            if has_ended(child) {
                return;
            }
            pause();
        }
        tracing::warn!(%pid, %signal, "the private PostgreSQL did not stop in time");
    }
}

/// Returns true if our own child has ended, and reaps it.
pub(super) fn has_ended(child: &mut Child) -> bool {
    // An error means that the child does not exist any more.
    !matches!(child.try_wait(), Ok(None))
}

fn send(pid: Pid, signal: Signal) {
    if let Err(error) = kill(pid, signal) {
        tracing::warn!(%pid, %signal, %error, "could not signal the private PostgreSQL");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "4711\n/data/pg\n1700000000\n5432\n/data/pg-socket\n\n   123456     0\nready   \n";

    #[test]
    fn reads_a_ready_servers_pid_file() {
        let file = PidFile::parse(READY).unwrap();
        let socket_dir = Some(PathBuf::from("/data/pg-socket"));
        assert_eq!(file, PidFile { pid: 4711, port: Some(5432), socket_dir, is_ready: true });
    }

    #[test]
    fn a_half_written_pid_file_is_not_ready() {
        for end in 0..READY.len() - "eady   \n".len() {
            let file = PidFile::parse(&READY[..end]);
            assert!(file.is_none_or(|file| !file.is_ready), "at {end}");
        }
        assert!(!PidFile::parse(&READY.replace("ready", "stopping")).unwrap().is_ready);
    }

    #[test]
    fn a_pid_that_would_signal_a_group_is_no_pid() {
        for text in ["", "-1\n", "0\n", "x\n"] {
            assert_eq!(PidFile::parse(text), None);
        }
    }

    #[test]
    fn the_limits_of_a_stop_amount_to_its_time() {
        for total in [Duration::from_secs(1), Duration::from_secs(8)] {
            let StopLimits { fast, immediate, kill } = StopLimits::within(total);
            assert_eq!(fast + immediate + kill, total);
            assert!(fast > immediate && immediate > kill && !kill.is_zero());
        }
    }

    #[test]
    fn a_process_of_another_program_is_not_the_server() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!is_server_of(own, Path::new("/data/pg")));
    }
}
