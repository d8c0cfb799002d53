//! A real nginx with the repository's configuration.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Child,
    sync::atomic::{AtomicU8, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use stellar_ticker::process::bound_to_this_thread;
use tempfile::TempDir;

use super::{
    daemon::{Answer, request},
    postgres::open_tempdir,
    wait_until,
};

/// The program, or what to do.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into(), "/opt/homebrew/bin".into()])
        .map(|directory: PathBuf| directory.join("nginx"))
        .find(|program| program.is_file())
        .expect("nginx is missing: on Debian apt-get install nginx-light, or let ./ticker test do it")
}

/// The repository's configuration.
pub(crate) fn conf() -> String {
    fs::read_to_string(conf_file()).unwrap()
}

/// Address that it listens on.
pub(crate) fn conf_file() -> PathBuf {
    program();
    Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx.conf")
}

/// A file of `deploy/`.
pub(crate) fn deployed(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

/// The configuration with some values replaced. Each must be there once: `send_timeout` alone would be
/// `proxy_send_timeout` too.
pub(crate) fn conf_with(replacements: &[(&str, &str)]) -> String {
    replacements.iter().fold(conf(), |text, (old, new)| {
        assert_eq!(text.matches(old).count(), 1, "nginx.conf has {old:?} once");
        text.replace(old, new)
    })
}

/// An address for nginx that no other process takes: on Linux all of 127/8 is this machine, and no
/// connection goes out from there of itself.
pub(crate) fn free_address() -> SocketAddr {
    static TAKEN: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = [127, 64 | (high >> 2), low, TAKEN.fetch_add(1, Ordering::Relaxed)];
    let address = SocketAddr::from((ip, 8000));
    if TcpListener::bind(address).is_ok() {
        return address;
    }
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// nginx without the daemon, as the comments of its configuration describe.
pub(crate) struct Nginx {
    child: Child,
    directory: TempDir,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    /// Starts nginx in front of a daemon, with the files in `www`, and waits until it answers.
    pub(crate) fn start(conf: &str, upstream: SocketAddr, www: &Path) -> Self {
        Self::start_with(conf, upstream, www, &[])
    }

    /// The same with more files in its prefix: name and text.
    pub(crate) fn start_with(conf: &str, upstream: SocketAddr, www: &Path, more: &[(&str, &str)]) -> Self {
        let directory = open_tempdir();
        let address = free_address();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("nginx.conf"), conf).unwrap();
        fs::write(path("listen.conf"), format!("listen {address};\n")).unwrap();
        fs::write(path("upstream.conf"), format!("server {upstream};\n")).unwrap();
        symlink(www, path("www")).unwrap();
        for (name, text) in more {
            fs::write(path(name), text).unwrap();
        }
        Self::run(directory, address, "/-/alive", 204)
    }

    /// The balancer's configuration, in front of two daemons.
    pub(crate) fn balance(replicas: [SocketAddr; 2]) -> Self {
        Self::balancer(replicas, 200)
    }

    /// The same before the first replica listens.
    pub(crate) fn balance_before(replicas: [SocketAddr; 2]) -> Self {
        Self::balancer(replicas, 502)
    }

    fn balancer(replicas: [SocketAddr; 2], status: u16) -> Self {
        let directory = open_tempdir();
        let address = free_address();
        let mut conf = deployed("nginx-ha.conf");
        let [one, other] = replicas.map(|replica| replica.to_string());
        for (name, here) in [
            ("172.30.66.11:8000", one.as_str()),
            ("172.30.66.12:8000", other.as_str()),
            ("listen 8000", &format!("listen {address}")),
            (
                "http {",
                "http { client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;",
            ),
        ] {
            assert!(conf.contains(name), "nginx-ha.conf has no {name:?}");
            conf = conf.replace(name, here);
        }
        fs::write(directory.path().join("nginx.conf"), conf).unwrap();
        Self::run(directory, address, "/livez", status)
    }

    fn run(directory: TempDir, address: SocketAddr, probe: &str, status: u16) -> Self {
        let path = |name: &str| directory.path().join(name);
        let mut command = bound_to_this_thread(&program(), "TERM");
        command.args(["-e", "stderr", "-g", "daemon off;", "-p"]);
        command.arg(format!("{}/", directory.path().display())).arg("-c").arg(path("nginx.conf"));
        command.stdout(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        wait_until("nginx answers", || {
            assert!(child.try_wait().unwrap().is_none(), "nginx ended");
            request(address, "GET", probe, "").is_ok_and(|answer| answer.status == status)
        });
        Self { child, address, directory }
    }

    /// Process id of the master.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Prefix directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        request(self.address, method, path, headers).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.pid()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// Headers that a web page may read, beside the safelisted ones.
const EXPOSED: [&str; 3] = ["ETag", "X-Ticker-Seq", "X-Ticker-As-Of"];

/// Headers that every answer must carry once, from nginx and from the daemon.
pub(crate) fn assert_well_formed(what: &str, answer: &Answer) {
    for (name, value) in [
        ("Server", "nginx"),
        ("Access-Control-Allow-Origin", "*"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
    ] {
        assert_eq!(
            (answer.count(name), answer.header(name)),
            (1, Some(value)),
            "{what}: {name}: {}",
            answer.head
        );
    }
    let exposed = answer.header("Access-Control-Expose-Headers").unwrap_or_default();
    for name in EXPOSED {
        assert!(exposed.split(", ").any(|exposed| exposed == name), "{what}: {name}: {}", answer.head);
    }
    assert_eq!(answer.count("Access-Control-Expose-Headers"), 1, "{what}: {}", answer.head);
    assert!(answer.count("Content-Type") <= 1, "{what}: {}", answer.head);
    if answer.status >= 400 && !answer.body.is_empty() {
        assert_problem(what, answer, answer.status);
    }
}

/// An error in the form that all errors have.
pub(crate) fn assert_problem(what: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{what}: {}", answer.head);
    assert_eq!(answer.header("Content-Type"), Some("application/problem+json"), "{what}: {}", answer.head);
    assert_eq!(answer.json()["status"], status, "{what}");
}
