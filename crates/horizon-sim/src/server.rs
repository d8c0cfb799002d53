//! HTTP server of the simulation: an actix-web server on threads of its own, usable from any context.

mod aggregations;
mod body;
mod lake;
mod limit;
mod pages;
mod query;
mod record;
mod reply;
mod rpc;
mod stream;
mod trades;

use super::config::SimConfig;
use super::faults::FaultPlan;
use super::lake::{Chain, SimLake};
use super::simulation::Simulation;
use actix_web::{App, HttpServer, web};
use aggregations::GeneratedTrades;
use limit::RateLimit;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Time within which a request must follow its connection. The daemon may be slow on a machine that is short of CPU.
const REQUEST_WITHIN: Duration = Duration::from_secs(60);
/// Wait between the last accepted connection and the stop.
///
/// actix-server counts a connection shortly after it hands it out. A worker that is stopped in between panics in builds
/// with overflow checks.
const SETTLE: Duration = Duration::from_millis(20);

/// State shared by all handlers.
#[derive(Debug)]
struct Shared {
    sim: Arc<Simulation>,
    lake: SimLake,
    faults: FaultPlan,
    limit: Option<RateLimit>,
    passphrase: Arc<RwLock<String>>,
    stream_poll: Duration,
    stream_duration: Duration,
    generated: GeneratedTrades,
}

/// Running simulated Horizon. Stops when dropped.
#[derive(Debug)]
pub struct SimServer {
    addr: SocketAddr,
    oracle: Arc<Simulation>,
    lake: SimLake,
    passphrase: Arc<RwLock<String>>,
    /// Dropped to stop the server.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SimServer {
    /// Address that the server listens on, with the actual port if port 0 was given.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Base URL, `http://<addr>`, for `--horizon-url`. With `/_toml` appended, for `--toml-gateway`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Lake of the same trades, served under `/lake`.
    pub fn lake(&self) -> &SimLake {
        &self.lake
    }

    /// Served data as typed values.
    pub fn oracle(&self) -> &Arc<Simulation> {
        &self.oracle
    }

    /// Switches to another network, on open connections too, as behind a proxy.
    pub fn switch_network(&self, passphrase: &str) {
        passphrase.clone_into(&mut self.passphrase.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Closes all connections and waits for the threads.
    pub fn stop(mut self) {
        self.shutdown();
    }

    fn shutdown(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for SimServer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Starts a simulated Horizon. Returns once it listens.
///
/// # Errors
///
/// `InvalidInput` for an invalid configuration, else the error of binding.
pub fn start(config: SimConfig, bind: SocketAddr) -> io::Result<SimServer> {
    let oracle = Arc::new(Simulation::new(&config)?);
    let listener = TcpListener::bind(bind)?;
    let addr = listener.local_addr()?;
    let passphrase = Arc::new(RwLock::new(config.network_passphrase.clone()));
    let chain = Chain::with_payments(
        Arc::clone(&oracle),
        &config.network_passphrase,
        oracle.head().elder,
        config.lake_layout.payments_per_ledger,
    );
    let lake = SimLake::new(chain, config.lake_layout);
    let shared = web::Data::new(Shared {
        sim: oracle.clone(),
        lake: lake.clone(),
        faults: config.faults.clone(),
        limit: config.rate_limit.map(|most| RateLimit::new(most, config.rate_window, config.rate_burst)),
        passphrase: Arc::clone(&passphrase),
        stream_poll: config.stream_poll,
        stream_duration: config.stream_duration,
        generated: GeneratedTrades::default(),
    });
    let (sender, receiver) = mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let workers = config.workers.max(1);
    let thread = std::thread::Builder::new()
        .name("horizon-sim".to_owned())
        .spawn(move || serve(shared, listener, workers, &sender, stopped))?;
    receiver.recv().map_err(|_| io::Error::other("the server thread ended at once"))??;
    Ok(SimServer { addr, oracle, lake, passphrase, stop: Some(stop), thread: Some(thread) })
}

fn serve(
    shared: web::Data<Shared>,
    listener: TcpListener,
    workers: usize,
    started: &mpsc::Sender<io::Result<()>>,
    stopped: oneshot::Receiver<()>,
) {
    let run = async move {
        let app = move || App::new().app_data(shared.clone()).configure(routes);
        let server = HttpServer::new(app)
            .workers(workers)
            .client_request_timeout(REQUEST_WITHIN)
            .disable_signals()
            .shutdown_timeout(0);
        match server.listen(listener) {
            Ok(server) => {
                let server = server.run();
                let handle = server.handle();
                let _ = started.send(Ok(()));
                let stop = async move {
                    // A message and a dropped sender both mean stop.
                    let _ = stopped.await;
                    // Accept nothing more, then let the last connection be counted.
                    handle.pause().await;
                    tokio::time::sleep(SETTLE).await;
                    handle.stop(false).await;
                };
                // The handle ends the server. Nobody is left to report an error to.
                let _ = futures_util::future::join(server, stop).await;
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    };
    actix_web::rt::System::new().block_on(run);
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(pages::root))
        .route("/trades", web::get().to(trades::trades))
        .route("/trade_aggregations", web::get().to(aggregations::trade_aggregations))
        .route("/assets", web::get().to(pages::assets))
        .route("/order_book", web::get().to(pages::order_book))
        .route("/ledgers/{sequence}", web::get().to(lake::ledger))
        .route("/rpc", web::post().to(rpc::rpc))
        .route("/lake", web::get().to(lake::listing))
        .route("/lake/{key:.*}", web::get().to(lake::object))
        .route("/_toml/{domain}/.well-known/stellar.toml", web::get().to(pages::toml))
        .default_service(web::to(pages::not_found));
}
