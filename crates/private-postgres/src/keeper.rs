//! The keeper of the private server: a thread that starts the server, restarts it when it ends, and stops it.
//!
//! The kernel ends the server with the thread that spawned it, so that thread must live as long as the server. This one
//! does nothing else, so it may block while a server replays its log.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{Options, PrivatePostgres, PrivatePostgresError};

/// Pause between two checks of the server.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Wait before the second consecutive restart. Each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait before a restart.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Uptime after which a server that ends is restarted at once.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// A private server that is restarted when it ends. Dropping it stops the server if it is ours.
#[derive(Debug)]
pub struct KeptPostgres {
    /// Connection string, the same after each restart.
    pub connection_string: String,
    /// Shell command that opens the database in psql.
    pub psql_command: String,
    /// Sentence for the log if the data are not in the data directory.
    pub note: Option<String>,
    /// True if another process runs the server.
    pub is_joined: bool,
    /// Ends the keeper: by the time that the server has for its stop, or dropped, if that does not matter.
    stop: Option<Sender<Duration>>,
    thread: Option<JoinHandle<()>>,
    /// True while the keeper restarts a server.
    is_starting: Arc<AtomicBool>,
}

/// State of the keeper's thread.
struct Keeper {
    data_dir: PathBuf,
    options: Options,
    deadline: Duration,
    stopped: Receiver<Duration>,
    is_starting: Arc<AtomicBool>,
}

impl KeptPostgres {
    /// Starts or joins the server on a thread of its own; see [`PrivatePostgres::start`]. The future may be dropped at
    /// any time: a server that is still starting is then stopped.
    ///
    /// # Errors
    ///
    /// The errors of the first start.
    pub async fn start(
        data_dir: PathBuf,
        options: Options,
        deadline: Duration,
    ) -> Result<Self, PrivatePostgresError> {
        let (stop, stopped) = channel();
        let (first, started) = oneshot::channel();
        let is_starting = Arc::new(AtomicBool::new(false));
        let keeper = Keeper { data_dir, options, deadline, stopped, is_starting: Arc::clone(&is_starting) };
        let thread = std::thread::Builder::new()
            .name("private-postgres".to_owned())
            .spawn(move || match keeper.start() {
                Ok(server) => {
                    let facts = (
                        server.connection_string(),
                        server.psql_command(),
                        server.note().map(str::to_owned),
                        server.is_joined(),
                    );
                    // If the receiver is gone, the caller gave up. The server is then dropped and so stopped.
                    if first.send(Ok(facts)).is_ok() {
                        keeper.keep(server);
                    }
                }
                Err(error) => drop(first.send(Err(error))),
            })
            .map_err(PrivatePostgresError::io("make a thread"))?;
        let ended = || std::io::Error::other("its thread ended");
        let started =
            started.await.map_err(|_| PrivatePostgresError::io("start the private PostgreSQL")(ended()))?;
        let (connection_string, psql_command, note, is_joined) = started?;
        Ok(Self {
            connection_string,
            psql_command,
            note,
            is_joined,
            stop: Some(stop),
            thread: Some(thread),
            is_starting,
        })
    }
}

impl KeptPostgres {
    /// Stops the server if it is ours, within `limit`. If that is too short for a server with a slow disk, the next
    /// start replays the log.
    pub fn stop_within(self, limit: Duration) {
        if let Some(stop) = &self.stop {
            let _ = stop.send(limit); // it fails if the keeper has ended by itself
        }
    }
}

impl Drop for KeptPostgres {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Do not wait for a server that is starting, which may take minutes. It ends with this process.
        if !self.is_starting.load(Ordering::SeqCst)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Keeper {
    fn start(&self) -> Result<PrivatePostgres, PrivatePostgresError> {
        PrivatePostgres::start(&self.data_dir, self.options.clone(), self.deadline)
    }

    /// Keeps a server running until the keeper is stopped.
    fn keep(&self, mut server: PrivatePostgres) {
        let (mut begun, mut wait) = (Instant::now(), Duration::ZERO);
        let stop = loop {
            if let Some(stop) = self.stopped_within(LOOK_EVERY) {
                break stop;
            }
            if server.is_running() {
                continue;
            }
            error!("the private PostgreSQL has ended, see pg.log in the data directory");
            // Releases the lock, which the next start takes again.
            drop(server);
            if begun.elapsed() >= HEALTHY_AFTER {
                wait = Duration::ZERO;
            }
            let Some(next) = self.start_again(&mut wait) else { return };
            server = next;
            begun = Instant::now();
        };
        match stop {
            Stop::Within(limit) => server.stop_within(limit),
            Stop::Patiently => server.stop(),
        }
    }

    /// Retries until a server runs. Returns none if the keeper is stopped.
    fn start_again(&self, wait: &mut Duration) -> Option<PrivatePostgres> {
        while self.stopped_within(*wait).is_none() {
            *wait = (*wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
            self.is_starting.store(true, Ordering::SeqCst);
            let may_start = matches!(self.stopped.try_recv(), Err(TryRecvError::Empty));
            let started = may_start.then(|| self.start());
            self.is_starting.store(false, Ordering::SeqCst);
            match started? {
                Ok(server) => {
                    info!("the private PostgreSQL runs again");
                    return Some(server);
                }
                Err(error) => {
                    warn!(%error, next_try_s = wait.as_secs(), "restart of the private PostgreSQL failed");
                }
            }
        }
        None
    }

    /// Waits, and returns how to stop as soon as the keeper is stopped.
    fn stopped_within(&self, wait: Duration) -> Option<Stop> {
        match self.stopped.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Stop::Patiently),
            Ok(limit) => Some(Stop::Within(limit)),
        }
    }
}

/// Time that a stop gives the server.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// As much as it needs.
    Patiently,
    /// At most this.
    Within(Duration),
}
