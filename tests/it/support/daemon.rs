//! The real binary, started, read, stopped and killed.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, ExitStatus, Output, Stdio},
    sync::{Arc, LazyLock, Mutex, mpsc},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    DEADLINE,
    bound::{Running, bound},
    surroundings::clean,
    wait_until,
};

/// Attempts at a request whose answer was lost.
const TRIES_MAX: u32 = 5;
/// Time that a command has to its end. Some read a whole history.
const ENDS_WITHIN: Duration = Duration::from_secs(600);
/// In a daemon's environment: how many files it may open.
pub(crate) const OPEN_FILES: &str = "TEST_OPEN_FILES";
/// In a daemon's environment: how many KiB of address space it may reserve.
pub(crate) const ADDRESS_SPACE: &str = "TEST_ADDRESS_SPACE";
/// In a daemon's environment: the mode bits that its new files do not get.
pub(crate) const UMASK: &str = "TEST_UMASK";
/// In a daemon's environment: `UID:N`, as which user it runs and how many threads that user may have. Only for root.
pub(crate) const OWN_USER: &str = "TEST_OWN_USER";
/// In a daemon's environment, together with [`OWN_USER`]: the file that it finds as `/etc/resolv.conf`.
pub(crate) const RESOLV_CONF: &str = "TEST_RESOLV_CONF";
/// In a daemon's environment: the core that it shall run on, with everything that it starts.
pub(crate) const ON_CPU: &str = "TEST_ON_CPU";
/// In a daemon's environment: the directory of the control group that it shall be in from its first instruction on.
pub(crate) const MEMORY_GROUP: &str = "TEST_MEMORY_GROUP";

/// An answer of a listener.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error}: {} {:?}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// Number of times that a header occurs.
    pub(crate) fn count(&self, name: &str) -> usize {
        let keys = self.head.lines().filter_map(|line| line.split_once(": "));
        keys.filter(|(key, _)| key.eq_ignore_ascii_case(name)).count()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }
}

/// A running daemon with an output directory of its own.
pub(crate) struct Daemon {
    child: Running,
    log: Arc<Mutex<String>>,
    pub(crate) directory: TempDir,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The database that it was given; empty where it has its own.
    pub(crate) database: String,
}

impl Daemon {
    /// Starts `serve` on a Horizon and a database, and waits until it listens.
    pub(crate) fn serve(horizon: &str, database: &str, passphrase: &str, more: &[&str]) -> Self {
        Self::serve_in(&[], horizon, database, passphrase, more)
    }

    /// The same with more in its environment.
    pub(crate) fn serve_in(
        environment: &[(&str, &str)],
        horizon: &str,
        database: &str,
        passphrase: &str,
        more: &[&str],
    ) -> Self {
        let mut arguments =
            vec!["serve", "--horizon-url", horizon, "--database-url", database, "--network", passphrase];
        // A simulated Horizon is the test's own: its budget is a matter of tests that say so.
        if !more.contains(&"--horizon-requests-per-hour") {
            arguments.extend(["--horizon-requests-per-hour", "0"]);
        }
        let gateway = format!("{horizon}/_toml");
        if !more.contains(&"--toml-gateway") {
            arguments.extend(["--toml-gateway", &gateway]);
        }
        arguments.extend(more);
        Self::start_in(&arguments, environment)
    }

    /// Starts any command that listens. If `arguments` name no data directory, it gets one of its own.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// The same with more in its environment.
    pub(crate) fn start_in(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = super::postgres::open_tempdir();
        let data_dir = directory.path().join("data");
        if let Some((_, user)) = environment.iter().find(|(name, _)| *name == OWN_USER) {
            let uid = user.split(':').next().unwrap().parse().unwrap();
            std::os::unix::fs::chown(directory.path(), Some(uid), Some(uid)).unwrap();
        }
        let mut command = program(environment);
        command.args(arguments).args([
            "--bind",
            "127.0.0.1:0",
            "--admin-bind",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ]);
        if !arguments.contains(&"--data-dir") {
            command.arg("--data-dir").arg(&data_dir);
        }
        clean(&mut command).env("TICKER_CHAOS", "1").envs(environment.iter().copied());
        command.stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = Running::start(command);
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, copy) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = copy.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut addresses = None;
        wait_until("the daemon listens", || {
            assert!(child.try_wait().unwrap().is_none(), "the daemon ended:\n{}", log.lock().unwrap());
            addresses = listening(&log.lock().unwrap());
            addresses.is_some()
        });
        let (public, admin) = addresses.unwrap();
        let given = arguments.iter().position(|argument| *argument == "--database-url");
        let database = given.and_then(|at| arguments.get(at + 1)).copied().unwrap_or_default().to_owned();
        Self { child, log, directory, public, admin, database }
    }

    pub(crate) fn output(&self, name: &str) -> PathBuf {
        self.directory.path().join("data/www").join(name)
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        request(self.public, "GET", path, "")
            .unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.log()))
    }

    pub(crate) fn get_with(&self, method: &str, path: &str, headers: &str) -> Answer {
        request(self.public, method, path, headers).unwrap()
    }

    /// POSTs a body; `headers` end with a line break each.
    pub(crate) fn post(&self, path: &str, headers: &str, body: &[u8]) -> Answer {
        let length = format!("Content-Length: {}\r\n{headers}", body.len());
        request_with_body(self.public, "POST", path, &length, body).unwrap()
    }

    /// Sends a query to `/graphql`.
    pub(crate) fn graphql(&self, query: &str) -> Value {
        let body = serde_json::json!({"query": query}).to_string();
        let answer = self.post("/graphql", "Content-Type: application/json\r\n", body.as_bytes());
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    pub(crate) fn admin(&self, path: &str) -> Answer {
        request(self.admin, "GET", path, "").unwrap()
    }

    /// Makes an actor panic while it handles its next message of a type.
    pub(crate) fn provoke(&self, actor: &str, message: &str) {
        let answer =
            request(self.admin, "POST", &format!("/provoke/{actor}/{message}"), "Content-Length: 0\r\n")
                .unwrap();
        assert_eq!(answer.status, 204);
    }

    /// Asks for a pass of the self-audit without rests. While the auditor restarts, the answer is 503.
    pub(crate) fn audit_now(&self) {
        let asked = request(self.admin, "POST", "/audit", "Content-Length: 0\r\n").unwrap();
        assert!([202, 503].contains(&asked.status), "{}", asked.status);
    }

    /// Waits until a pass of the self-audit has ended.
    pub(crate) fn wait_for_audit(&self) {
        self.audit_now();
        wait_until("a pass of the audit has ended", || self.status()["audit"]["at"].is_string());
    }

    /// Waits until the auditor rests after its first pass. If the interval is long, it then finds nothing by itself.
    pub(crate) fn wait_until_the_auditor_rests(&self) {
        if !self.has_resting_auditor() {
            self.audit_now(); // so that the pass makes no pauses
            wait_until("the first pass of the self-audit has ended", || self.has_resting_auditor());
        }
    }

    /// True between two passes of the self-audit.
    pub(crate) fn has_resting_auditor(&self) -> bool {
        let all = self.admin("/actors.json").json();
        let mut actors = all["actors"].as_array().unwrap().iter();
        actors.any(|actor| actor["name"] == "auditor" && actor["state"] == "resting")
    }

    /// The names of its actors.
    pub(crate) fn actors(&self) -> Vec<String> {
        let all = self.admin("/actors.json").json();
        let names = all["actors"].as_array().unwrap().iter().map(|actor| actor["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    }

    pub(crate) fn status(&self) -> Value {
        self.get("/api/v1/status").json()
    }

    pub(crate) fn wait_for_publication(&self) {
        wait_until("the first publication", || self.get("/markets.json").status == 200);
    }

    /// Waits until every file is written once. Before that, a daemon with many markets has not yet used all the memory
    /// that it needs without readers.
    pub(crate) fn wait_for_files(&self) {
        wait_until("the last file is written", || self.output("v1/markets.json").exists());
    }

    /// SIGTERM, and how the process ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        self.wait()
    }

    pub(crate) fn kill(&mut self) {
        kill(self.pid(), Signal::SIGKILL).unwrap();
        self.child.wait().unwrap();
    }

    /// Any signal; SIGSTOP is waited for, since the kernel stops one thread after the other.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
        if signal == Signal::SIGSTOP {
            wait_until("the process stands still", || threads_that_run(self.pid()) == 0);
        }
    }

    /// Waits for the end of the process and returns its status.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the daemon has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Returns true if this replica reports that it leads.
    pub(crate) fn leads(&self) -> bool {
        request(self.public, "GET", "/api/v1/status", "")
            .is_ok_and(|answer| answer.status == 200 && answer.json()["replica"]["leader"] == true)
    }

    /// Its resident memory in MiB.
    pub(crate) fn memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}

/// Threads of a process that are not stopped.
fn threads_that_run(pid: Pid) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let runs = |stat: String| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with(['T', 't']));
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok())
        .filter(|stat| runs(stat.clone()))
        .count()
}

/// The program that cargo built, or the one that `TICKER_TEST_PROGRAM` names, such as a release.
fn binary() -> &'static str {
    static BINARY: LazyLock<String> = LazyLock::new(|| {
        let named = std::env::var("TICKER_TEST_PROGRAM").ok();
        named.unwrap_or_else(|| env!("CARGO_BIN_EXE_stellar-ticker").to_owned())
    });
    &BINARY
}

/// The program; under a limit, on one core or in a control group where the environment is to hold [`OPEN_FILES`],
/// [`ADDRESS_SPACE`], [`UMASK`], [`OWN_USER`], [`ON_CPU`] or [`MEMORY_GROUP`].
pub(crate) fn program(environment: &[(&str, &str)]) -> Command {
    let wanted = |name: &str| environment.iter().find_map(|(key, value)| (*key == name).then_some(*value));
    if let Some(cpu) = wanted(ON_CPU) {
        let mut taskset = bound("taskset");
        taskset.args(["-c", cpu, binary()]);
        return taskset;
    }
    if let Some(user) = wanted(OWN_USER) {
        let (uid, threads) = user.split_once(':').unwrap();
        let names = wanted(RESOLV_CONF)
            .map(|file| format!("mount --bind {file} /etc/resolv.conf && "))
            .unwrap_or_default();
        // Another user would clear the death signal of the whole command.
        let user = format!(
            "setpriv --reuid={uid} --regid={uid} --clear-groups --pdeathsig KILL prlimit --nproc={threads}"
        );
        let mut own = bound("unshare");
        own.args(["-m", "sh", "-c", &format!("{names}exec {user} \"$0\" \"$@\""), binary()]);
        return own;
    }
    if let Some(group) = wanted(MEMORY_GROUP) {
        let mut shell = bound("sh");
        shell.args(["-c", &format!("echo $$ > {group}/cgroup.procs && exec \"$0\" \"$@\""), binary()]);
        return shell;
    }
    let builtins = [(OPEN_FILES, "ulimit -n"), (ADDRESS_SPACE, "ulimit -v"), (UMASK, "umask")];
    let set = builtins.into_iter().find_map(|(name, builtin)| Some(format!("{builtin} {}", wanted(name)?)));
    let Some(set) = set else { return bound(binary()) };
    let mut shell = bound("sh");
    shell.args(["-c", &format!("{set}; exec \"$0\" \"$@\""), binary()]);
    shell
}

/// Starts a command that does not listen.
pub(crate) fn spawn(arguments: &[&str]) -> Running {
    let mut command = program(&[]);
    clean(command.args(arguments)).stderr(Stdio::piped()).stdout(Stdio::null());
    Running::start(command)
}

/// Runs a command to its end: exit code, stdout, stderr.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    run_in(arguments, &[])
}

/// The same with more in its environment.
pub(crate) fn run_in(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = program(environment);
    let output = output_of(clean(command.args(arguments)).envs(environment.iter().copied()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Runs a command to its end. One that does not end is killed, so that its test fails.
pub(crate) fn output_of(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (ended, end) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let is_late = end.recv_timeout(ENDS_WITHIN) == Err(mpsc::RecvTimeoutError::Timeout);
        if is_late {
            kill(pid, Signal::SIGKILL).unwrap();
        }
        is_late
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    assert!(
        !watch.join().unwrap(),
        "it did not end: {command:?}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn listening(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line = log.lines().find(|line| line.contains("\"message\":\"listening\""))?;
    let line: Value = serde_json::from_str(line).unwrap();
    let address = |name: &str| line["fields"][name].as_str().unwrap().parse().unwrap();
    Some((address("public"), address("admin")))
}

pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
) -> std::io::Result<Answer> {
    request_with_body(address, method, path, headers, &[])
}

fn request_with_body(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<Answer> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    let request = [head.as_bytes(), body].concat();
    // A server that refuses a request may close before it has read all of it; the answer is then lost now and then.
    let mut tries = 0;
    let bytes = loop {
        tries += 1;
        match exchange(address, &request) {
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
                    && tries < TRIES_MAX => {}
            other => break other?,
        }
    };
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut body = bytes.get(end + 4..).unwrap_or_default().to_vec();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        body = unchunk(&body);
    }
    Ok(Answer { status, head, body })
}

/// Sends as much as the server accepts, and reads its answer.
fn exchange(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let sent = stream.write_all(request);
    let (mut bytes, mut part, begun) = (Vec::new(), [0; 65_536], Instant::now());
    let end = loop {
        assert!(begun.elapsed() < DEADLINE, "the answer does not end: {}", String::from_utf8_lossy(&bytes));
        match stream.read(&mut part) {
            Ok(0) => break sent,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    if bytes.is_empty() { end.map(|()| bytes) } else { Ok(bytes) }
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = body.get(end + 4 + size..).unwrap_or_default();
    }
    whole
}
