//! The command `serve`: starts database, actors and listeners, waits for a signal, drains.

mod address;
pub(super) mod disk;
mod gauges;
mod health;
mod nginx;
mod tree;

use std::{
    io::{self, IsTerminal},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_rt::System;
use futures_util::FutureExt;
use nix::{
    sys::stat::{Mode, umask},
    unistd::Uid,
};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::{
    CommandError, progress_bar,
    signals::Signals,
    source_check::{check_lake, check_network},
    store::Store,
    test_hooks,
};
use crate::{
    actors::{
        messages::{AuditNow, FetchBook, ReloadNginx},
        port::Port,
        services::Services,
        supervision::{report::TreeView, tree::RunningTree, tree_status::TreeStatus},
        supervisor::{HUNG_EXIT_CODE, Outcome},
        trace::crash::CrashFiles,
        unfit::UnfitReport,
    },
    blocking,
    clock::{SharedClock, SystemClock},
    config::Config,
    db::{Database, shown_database},
    domain::shown_url::shown_url,
    http::{
        BOOK_CONNECTIONS, BacklogReader, BookReader, CANDLE_CONNECTIONS, CandleReader, FetchFresh,
        PublicState, StreamSlots, Views,
        admin::{self, AdminState},
        server::{self, ConnectionPolicy, Listener},
    },
    instruments::Exposition,
    published::Published,
    shutdown, telemetry,
};
use address::Reserved;
use nginx::Nginx;
use private_postgres::IfRunning;
use tree::DaemonTree;

/// Threads of the shared runtime. It serves the actix system and the sockets of PostgreSQL.
const RUNTIME_THREADS: usize = 2;
/// Age of the supervisor's last tick up to which `/livez` is healthy.
const TICK_AGE_MAX: Duration = Duration::from_secs(10);

/// Runs the daemon until it has drained. Returns the exit code.
pub(super) fn serve(config: Config, signals: Option<Signals>) -> Result<u8, CommandError> {
    if config.nginx.is_some() && Uid::effective().is_root() {
        // nginx's workers are another user then, who must read the published files.
        let open = Mode::from_bits_truncate(0o022);
        umask(umask(open) & open);
    }
    let system = System::with_tokio_rt(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build();
        #[expect(clippy::expect_used, reason = "without threads there is no process")]
        runtime.expect("the runtime's threads can be made")
    });
    let ended = system.block_on(run(&config, signals));
    if matches!(ended, Ok(HUNG_EXIT_CODE)) {
        // Leaving `main` would wait for the blocked thread for ever.
        std::process::exit(HUNG_EXIT_CODE.into());
    }
    ended
}

/// Runs the daemon, then stops the private PostgreSQL in the time that is left. During the drain, another stop signal
/// ends the process at once.
async fn run(config: &Config, signals: Option<Signals>) -> Result<u8, CommandError> {
    let mut signals = signals.map_or_else(Signals::listen, Ok)?;
    let (mut store, mut stopping) = (None, None);
    let ended = run_on(config, &mut store, &mut signals, &mut stopping).await;
    if let Some(store) = store {
        let left =
            shutdown::left_for_postgres(stopping.map_or(Duration::ZERO, |since: Instant| since.elapsed()));
        let closed = blocking::run(move || store.close_within(left));
        // A panic while closing is logged by the panic hook. Nothing is left to do here.
        let _ = or_end_at_once(closed, exit_code(&ended), &mut signals).await;
    }
    ended
}

fn exit_code(ended: &Result<u8, CommandError>) -> u8 {
    ended.as_ref().map_or_else(CommandError::exit_code, |code| *code)
}

/// Starts everything, waits for a signal, an escalation or the loss of the database's tables, then drains. Sets
/// `stopping` when the stop begins.
async fn run_on(
    config: &Config,
    store: &mut Option<Store>,
    signals: &mut Signals,
    stopping: &mut Option<Instant>,
) -> Result<u8, CommandError> {
    let reload = Arc::new(Notify::new());
    if config.nginx.is_some() {
        signals.reload_by(&reload);
    }
    let starting = start(config, store);
    let mut daemon = tokio::select! {
        started = starting => started?,
        signal = signals.next() => {
            info!(signal, "stopping before the start was complete");
            *stopping = Some(Instant::now());
            return Ok(Outcome::Drained.exit_code());
        }
    };
    let reloads = nginx::reloads(daemon.nginx.clone(), &reload);
    let mut unfit = None;
    let outcome = tokio::select! {
        signal = signals.next() => {
            info!(signal, "draining");
            Outcome::Drained
        }
        outcome = daemon.tree.given_up() => outcome,
        reason = daemon.unfit.reported() => {
            error!(%reason, "database is not the one of the start, draining");
            unfit = Some(reason);
            Outcome::Drained
        }
        // A stop does not wait for a reload, so the two run side by side.
        never = reloads => match never {},
    };
    *stopping = Some(Instant::now());
    if outcome != Outcome::Drained {
        daemon.write_crash_file(config, outcome);
    }
    let ended = unfit.map_or_else(|| Ok(outcome.exit_code()), |unfit| Err(unfit.into()));
    or_end_at_once(daemon.drain(outcome), exit_code(&ended), signals).await;
    info!(%outcome, "drained");
    ended
}

/// Waits for `work`, the last work of the process. A second stop signal exits the process at once with `exit_code`, or
/// with 1 if that is 0.
async fn or_end_at_once<T>(work: impl Future<Output = T>, exit_code: u8, signals: &mut Signals) -> T {
    tokio::select! {
        done = work => done,
        signal = signals.next() => {
            warn!(signal, "second stop signal, exiting at once");
            std::process::exit(exit_code.max(1).into());
        }
    }
}

/// A running daemon.
struct Daemon {
    tree: RunningTree,
    public: Listener,
    admin: Listener,
    published: Arc<Published>,
    database: Database,
    /// Report that the database is not the one of the start.
    unfit: UnfitReport,
    /// Port that makes nginx reload its configuration; none without `--nginx`.
    nginx: Option<Port<ReloadNginx>>,
}

async fn start(config: &Config, store: &mut Option<Store>) -> Result<Daemon, CommandError> {
    log_start(config);
    let clock: SharedClock = SystemClock::shared();
    let patience = config.startup_timeout;
    // Take everything that another process may hold before reading, writing or leading. The private PostgreSQL writes.
    let (public, admin, nginx) = tokio::try_join!(
        Reserved::take(config.bind, "--bind", patience),
        Reserved::take(config.admin_bind, "--admin-bind", patience),
        Nginx::prepare(config),
    )?;
    let store = store.insert(Store::open(config, IfRunning::WaitUntilGone).await?);
    let database = store.database(config).await?;
    let mut services = Services::new(config, &database, Arc::clone(&clock), test_hooks::timings());
    services.database_id = store.identity(config, &database).await?.into();
    let candles = store.pool_of(CANDLE_CONNECTIONS, &database)?;
    let stored_books = store.pool_of(BOOK_CONNECTIONS, &database)?;
    let unfit = services.unfit.clone();
    services.nginx = nginx.as_ref().map(|nginx| nginx.prepared.clone());
    check_lake(&services).await?;
    check_network(&services).await?;
    let published = Arc::clone(&services.published);
    let metrics = Exposition::install().map_err(|error| CommandError::Software(error.to_string()))?;
    let DaemonTree { tree, auditor, books, nginx: nginx_port } = tree::build(&services)?;
    let (public, admin) = (public.open()?, admin.open()?);
    let tree = tree.start();
    let status = tree.status();
    let views = Arc::new(Views::new(services.listing_source()));
    let public_state = PublicState {
        published: Arc::clone(&published),
        clock: Arc::clone(&clock),
        stale_after: config.stale_after,
        publish_interval: config.publish_interval,
        views: Arc::clone(&views),
        stream_slots: StreamSlots::default(),
        books: BookReader::new(stored_books, books_on_demand(books), Arc::clone(&clock)),
        backlogs: BacklogReader::new(candles.clone()),
        candles: CandleReader::new(candles, config.candle_retention_days.into()),
        is_alive: alive(Arc::clone(&status)),
    };
    let admin_state = AdminState {
        metrics: metrics.clone(),
        actors: viewed(Arc::clone(&status)),
        recorder: Arc::clone(status.recorder()),
        published: Arc::clone(&published),
        views: Arc::clone(&views),
        database: database.clone(),
        audit: audit_on_demand(auditor),
        set_log: Arc::new(change_log),
        provoke: test_hooks::provoke(&status),
    };
    let policy = ConnectionPolicy {
        connections_per_address: config.connections_per_address,
        // nginx has limits of its own, and all connections come from its one address.
        is_behind_nginx: config.nginx.is_some(),
    };
    let public = server::start_public(public, public_state, policy).map_err(not_served)?;
    let admin = server::start_admin(admin, admin_state).map_err(not_served)?;
    if let Some(nginx) = &nginx {
        nginx.open(public.address())?;
    }
    info!(public = %public.address(), admin = %admin.address(), "listening");
    if io::stderr().is_terminal() {
        actix_rt::spawn(progress_bar::draw(Arc::clone(&published)));
    }
    actix_rt::spawn(announce(Arc::clone(&published), public_url(public.address())));
    actix_rt::spawn(disk::watch(services.clone()));
    actix_rt::spawn(health::watch(status, services, metrics, views));
    Ok(Daemon { tree, public, admin, published, database, unfit, nginx: nginx_port })
}

/// Returns the URL of the pages for a browser on this machine. If `bind` has port 0, the real port is known only
/// once the listener is bound.
pub(super) fn public_url(bind: SocketAddr) -> String {
    let local =
        if bind.ip().is_unspecified() { SocketAddr::from((Ipv4Addr::LOCALHOST, bind.port())) } else { bind };
    format!("http://{local}/")
}

/// Logs what runs and on what, without secrets.
fn log_start(config: &Config) {
    let database = config.database_url.as_ref().map(|url| shown_database(url.expose()));
    info!(
        version = env!("CARGO_PKG_VERSION"),
        network = config.network,
        horizon = shown_url(&config.horizon_url),
        database = database.as_deref().unwrap_or("private"),
        data_dir = %config.data_dir.display(),
        "starting"
    );
}

/// Replaces the filter of the log, and says so in the log that follows.
fn change_log(filter: &str) -> Result<(), String> {
    telemetry::set_filter(filter).map_err(|error| error.to_string())?;
    info!(filter, "log filter changed, until the next start");
    Ok(())
}

fn not_served(error: io::Error) -> CommandError {
    CommandError::Unavailable(format!("an opened listener cannot be served: {error}"))
}

/// Returns the check behind `/livez`.
fn alive(status: Arc<TreeStatus>) -> Arc<dyn Fn() -> bool + Send + Sync> {
    Arc::new(move || status.tick_age() <= TICK_AGE_MAX)
}

/// Returns the reader of the actors' state.
fn viewed(status: Arc<TreeStatus>) -> Arc<dyn Fn() -> TreeView + Send + Sync> {
    Arc::new(move || status.view())
}

/// Time limit for the auditor to acknowledge a request.
const AUDITOR_TIMEOUT: Duration = Duration::from_secs(1);

/// Time limit for a book that a reader asks for. The fetcher's own is a little shorter.
const BOOK_TIMEOUT: Duration = Duration::from_millis(2_200);

fn books_on_demand(fetcher: Port<FetchBook>) -> FetchFresh {
    Arc::new(move |market| {
        let fetcher = fetcher.clone();
        async move {
            let fetched = fetcher.call(None, FetchBook { market }, BOOK_TIMEOUT).await.ok()??;
            Some((fetched.book.clone(), fetched.fetched_at))
        }
        .boxed_local()
    })
}

fn audit_on_demand(auditor: Port<AuditNow>) -> admin::AuditNow {
    Arc::new(move || {
        let auditor = auditor.clone();
        async move { auditor.call(None, AuditNow, AUDITOR_TIMEOUT).await.is_ok() }.boxed_local()
    })
}

/// Waits for the first publication and logs where a browser finds the figures.
async fn announce(published: Arc<Published>, url: String) {
    while published.newest().is_none() {
        actix_rt::time::sleep(health::POLL).await;
    }
    info!("published: open {url}");
}

impl Daemon {
    /// Writes a crash file with all messages under way, and with the last records of the actor whose thread is
    /// blocked, or, after too many restarts, of all actors. Does not block on the disk.
    fn write_crash_file(&self, config: &Config, outcome: Outcome) {
        let status = self.tree.status();
        let crashes = CrashFiles::new(config.data_dir.join(tree::CRASH_DIR), Arc::clone(status.recorder()));
        let actor = match outcome {
            Outcome::Hung(actor) => Some(actor),
            Outcome::Drained | Outcome::Escalated => None,
        };
        let write = move || match crashes.write(actor, &outcome.to_string(), &status.handling()) {
            Ok(path) => warn!(file = %path.display(), "crash file written"),
            Err(error) => warn!(%error, "crash file could not be written"),
        };
        if let Err(error) = std::thread::Builder::new().name("crash-file".into()).spawn(write) {
            warn!(%error, "crash file not written: no thread could be started");
        }
    }

    /// Stops everything in order: sources, lease, last publication, files, listeners, nginx, connection pool. `/readyz`
    /// fails from the beginning, so that balancers stop sending new readers.
    async fn drain(self, outcome: Outcome) {
        let at_most = |within| if outcome == Outcome::Drained { within } else { shutdown::shortened(within) };
        self.published.vitals.begin_draining();
        self.tree.begin_drain().await;
        for (phase, within) in shutdown::PHASES {
            self.tree.drain(phase, at_most(within)).await;
        }
        let listeners = async { tokio::join!(self.public.stop(), self.admin.stop()) };
        if tokio::time::timeout(shutdown::HTTP, listeners).await.is_err() {
            warn!("connections of readers were cut at the end of the drain");
        }
        info!("listeners closed");
        let (phase, within) = shutdown::NGINX;
        self.tree.drain(phase, at_most(within)).await;
        self.database.close();
    }
}
