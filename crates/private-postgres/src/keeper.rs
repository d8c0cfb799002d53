//! The keeper of the private server: a thread that starts it, starts it again when it ends, and stops it.
//!
//! The kernel ends the server with the thread that spawned it, so that thread must live as long as it: this one does
//! nothing else, and may wait for a server that replays its log without holding up anybody.

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

/// How often it is looked whether the server is there.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The wait before the second start in a row; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A server that lived so long is started again at once.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// A private server that is started again when it ends. Dropping it stops the server if it is ours.
#[derive(Debug)]
pub struct KeptPostgres {
    /// How to connect: the same for each server of a data directory.
    pub connection_string: String,
    /// The shell command that opens the database.
    pub psql_command: String,
    /// What the operator should know about where the data lie.
    pub note: Option<String>,
    /// Another process runs the server.
    pub is_joined: bool,
    /// Dropped to end the keeper.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// The keeper waits for a server to come up again.
    is_starting: Arc<AtomicBool>,
}

/// What the keeper works with.
struct Keeper {
    data_dir: PathBuf,
    options: Options,
    deadline: Duration,
    stopped: Receiver<()>,
    is_starting: Arc<AtomicBool>,
}

impl KeptPostgres {
    /// As [`PrivatePostgres::start`], on a thread of its own. May be dropped at any time: a server that is coming up
    /// then ends again.
    ///
    /// # Errors
    ///
    /// Those of the first start.
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
                    // Nobody listens any more only where the process ends: then so does the server.
                    if first.send(Ok(facts)).is_ok() {
                        keeper.keep(server);
                    }
                }
                Err(error) => drop(first.send(Err(error))),
            })
            .map_err(PrivatePostgresError::io("make a thread"))?;
        let ended = || std::io::Error::other("its thread ended");
        let told = started.await.map_err(|_| PrivatePostgresError::io("start it")(ended()))?;
        let (connection_string, psql_command, note, is_joined) = told?;
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

impl Drop for KeptPostgres {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A server that is still coming up is not waited for: it ends with this process.
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

    /// Until it is told to stop.
    fn keep(&self, mut server: PrivatePostgres) {
        let (mut begun, mut wait) = (Instant::now(), Duration::ZERO);
        while self.goes_on(LOOK_EVERY) {
            if server.is_running() {
                continue;
            }
            error!("the private PostgreSQL has ended; its own words are in pg.log of the data directory");
            // Its lock as well: the next start takes it anew.
            drop(server);
            if begun.elapsed() >= HEALTHY_AFTER {
                wait = Duration::ZERO;
            }
            let Some(next) = self.start_again(&mut wait) else { return };
            server = next;
            begun = Instant::now();
        }
        server.stop();
    }

    /// Tries until a server runs; none where it is to stop.
    fn start_again(&self, wait: &mut Duration) -> Option<PrivatePostgres> {
        while self.goes_on(*wait) {
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
                    warn!(%error, next_try_s = wait.as_secs(), "the private PostgreSQL cannot be started again");
                }
            }
        }
        None
    }

    /// Waits so long; says whether nothing has told it to stop.
    fn goes_on(&self, wait: Duration) -> bool {
        matches!(self.stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }
}
