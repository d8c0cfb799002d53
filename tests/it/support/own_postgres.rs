//! A PostgreSQL of one test alone, which may be stopped, killed and put back to an earlier state.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{Receiver, Sender, channel},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use private_postgres::PrivatePostgres;
use tempfile::TempDir;
use tokio_postgres::Client;

use super::{
    DEADLINE,
    postgres::{execute, open_tempdir, test_options},
    processes::children,
    recomputation::connect,
    wait_until,
};

enum Order {
    Start,
    /// All sessions are cut, all is written.
    Stop,
    /// Kill the postmaster and its sessions. The next start replays the log.
    Kill,
}

/// The server. Its commands return when they are done.
pub(crate) struct OwnPostgres {
    orders: Option<Sender<Order>>,
    done: Receiver<(String, String)>,
    thread: Option<std::thread::JoinHandle<()>>,
    data_dir: PathBuf,
    _directory: Option<TempDir>,
    pub(crate) url: String,
    pub(crate) superuser: String,
}

impl OwnPostgres {
    pub(crate) fn start() -> Self {
        let directory = open_tempdir();
        let mut own = Self::start_in(directory.path().join("data"));
        own._directory = Some(directory);
        own
    }

    /// In a directory that the test has made.
    pub(crate) fn start_in(data_dir: PathBuf) -> Self {
        let (orders, inbox) = channel();
        let (sender, done) = channel();
        let place = data_dir.clone();
        // The kernel stops the server with the thread that started it: one thread does all.
        let thread = std::thread::spawn(move || obey(&place, &inbox, &sender));
        let mut own = Self {
            orders: Some(orders),
            done,
            thread: Some(thread),
            data_dir,
            _directory: None,
            url: String::new(),
            superuser: String::new(),
        };
        own.start_again();
        own
    }

    pub(crate) fn start_again(&mut self) {
        (self.url, self.superuser) = self.order(Order::Start);
    }

    pub(crate) fn stop(&self) {
        self.order(Order::Stop);
    }

    pub(crate) fn kill(&self) {
        self.order(Order::Kill);
    }

    /// To the postmaster and all its children.
    pub(crate) fn signal(&self, signal: Signal) {
        let postmaster = self.postmaster();
        for pid in children(postmaster).into_iter().chain([postmaster]) {
            let _ = kill(Pid::from_raw(pid), signal); // one that has just ended needs none
        }
    }

    /// Its number among processes.
    pub(crate) fn postmaster(&self) -> i32 {
        let pid_file = std::fs::read_to_string(self.data_dir.join("pg/postmaster.pid")).unwrap();
        pid_file.lines().next().unwrap().parse().unwrap()
    }

    fn order(&self, order: Order) -> (String, String) {
        self.orders.as_ref().unwrap().send(order).unwrap();
        self.done.recv().expect("the server obeyed, see above")
    }

    /// A copy of all its files; it must be stopped.
    pub(crate) fn save(&self) {
        let _ = std::fs::remove_dir_all(self.data_dir.join("pg.saved"));
        self.copy("pg", "pg.saved");
    }

    /// Back to the copy; it must be stopped.
    pub(crate) fn restore(&self) {
        std::fs::remove_dir_all(self.data_dir.join("pg")).unwrap();
        self.copy("pg.saved", "pg");
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.data_dir.join(from), self.data_dir.join(to));
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    }

    pub(crate) async fn client(&self) -> Client {
        connect(&self.url).await
    }

    /// As the superuser, in the database of the ticker.
    pub(crate) async fn command(&self, sql: &str) {
        execute(&self.superuser.replace("dbname=postgres", "dbname=ticker"), sql).await;
    }

    /// Changes settings of the whole server. They hold for new transactions once it returns.
    pub(crate) async fn set(&self, setting: &str) {
        self.command(&format!("ALTER SYSTEM {setting}")).await;
        self.command("SELECT pg_reload_conf()").await;
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn obey(data_dir: &Path, inbox: &Receiver<Order>, sender: &Sender<(String, String)>) {
    let mut server = None;
    for order in inbox {
        match order {
            Order::Start => {
                server = Some(PrivatePostgres::start(data_dir, test_options(), DEADLINE).unwrap());
            }
            Order::Stop => server = None,
            Order::Kill => {
                let mut killed = server.take().unwrap();
                let pid = i32::try_from(killed.server_pid().unwrap()).unwrap();
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
                wait_until("the server is gone", || !killed.is_running());
            }
        }
        let urls = server.as_ref().map(|server: &PrivatePostgres| {
            (server.connection_string(), server.superuser_connection_string())
        });
        if sender.send(urls.unwrap_or_default()).is_err() {
            return;
        }
    }
}
