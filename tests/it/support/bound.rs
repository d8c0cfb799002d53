//! Child processes that end with this process, however it ends.

use std::{
    io,
    ops::{Deref, DerefMut},
    path::Path,
    process::{Child, Command, Output},
    sync::{LazyLock, mpsc},
};

use stellar_ticker::process::bound_to_this_thread;

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Orders to the thread that starts all processes. The kernel sends the death signal when the starting thread ends, and
/// threads of tests end too early.
static STARTER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = mpsc::channel::<Order>();
    let start = move || {
        for (mut command, done) in orders {
            let _ = done.send(command.spawn());
        }
    };
    std::thread::Builder::new().name("starter".to_owned()).spawn(start).unwrap();
    sender
});

/// A command that is killed with the thread that starts it: see [`Running::start`].
pub(crate) fn bound(program: &str) -> Command {
    bound_by("KILL", program)
}

/// The same with another signal.
pub(crate) fn bound_by(death_signal: &str, program: &str) -> Command {
    let mut command = bound_to_this_thread(Path::new(program), death_signal);
    command.current_dir(std::env::current_dir().unwrap());
    command
}

/// A process that is killed on drop. If it was made by [`bound`], it does not outlive the test binary either.
pub(crate) struct Running(Option<Child>);

impl Running {
    /// Starts a command from a thread that lives as long as this process.
    pub(crate) fn start(command: Command) -> Self {
        let (done, started) = mpsc::channel();
        STARTER.send((command, done)).unwrap();
        Self(Some(started.recv().unwrap().unwrap()))
    }

    /// Waits for its end. Returns what it has written to its pipes.
    pub(crate) fn output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.0.as_ref().unwrap()
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// In the environment of a process that runs one test.
const IS_ALONE: &str = "TICKER_TEST_ALONE";

/// This test binary with one test, in a process of its own. `None` in that process.
pub(crate) fn alone(test: &str) -> Option<Command> {
    if std::env::var_os(IS_ALONE).is_some() {
        return None;
    }
    let mut this = bound(std::env::current_exe().unwrap().to_str().unwrap());
    this.args(["--exact", test, "--nocapture", "--test-threads", "1"]).env(IS_ALONE, "1");
    Some(this)
}

#[test]
fn a_started_process_ends_with_the_test_binary() {
    use std::io::{BufRead, BufReader};
    let Some(mut this) = alone("support::bound::a_started_process_ends_with_the_test_binary") else {
        let mut command = bound("sh");
        command.args(["-c", "echo bound; exec sleep 600"]).stdout(std::process::Stdio::piped());
        let mut sleep = Running::start(command);
        // It says so after the kernel knows that it ends with this process.
        let mut line = String::new();
        BufReader::new(sleep.stdout.take().unwrap()).read_line(&mut line).unwrap();
        println!("\nSLEEP {}", sleep.id());
        loop {
            std::thread::park();
        }
    };
    this.stdout(std::process::Stdio::piped());
    let mut this = Running::start(this);
    let mut lines = BufReader::new(this.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find_map(|line| line.strip_prefix("SLEEP ")?.parse::<i32>().ok());
    this.kill().unwrap();
    this.wait().unwrap();
    let pid = said.expect("the child says the number of its process");
    super::wait_until("the process is gone", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Where nobody collects orphans, it stays a zombie.
        stat.is_empty() || stat.contains(") Z ")
    });
}
