//! nginx in front of the public listener: started, probed, reloaded, stopped. It runs on every replica with `--nginx`.
//!
//! When nginx ends, this incarnation of the actor ends too. The supervisor then restarts it, with delays of up to 30 s,
//! and counts the restarts. It never gives up: the listener and the ingest do without nginx.

mod log;
mod master;
pub mod place;
mod workers;

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use actix::{Context, Handler};
use tokio::{sync::watch, time::Instant};
use tracing::{error, info, warn};

use super::{
    envelope::Envelope,
    messages::ReloadNginx,
    services::Services,
    supervision::status::ChildStatus,
    wiring::{DaemonActor, Wiring},
    worker::{Work, WorkContext, Worker},
};
use crate::{published::Part, shutdown};
use master::{Master, Probe};
use place::{NginxPlace, PreparedNginx};

/// Interval between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Unanswered probes in a row after which nginx is killed.
const MISSED_MAX: u32 = 5;
/// Failed probes in a row after which its check in `/readyz` fails. One alone may be a busy machine.
const FAILING_MIN: u32 = 2;
/// Time limit for nginx to open its address.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// Dependencies of the actor.
#[derive(Clone)]
pub struct NginxRun {
    /// nginx's prefix, prepared.
    pub place: NginxPlace,
    /// True once the daemon listens and its address is in nginx's configuration.
    pub is_open: watch::Receiver<bool>,
    /// True if a reload was requested. Set by the handler, taken by the watch loop, which has a clone of this. A
    /// restart need not keep it, since a start reads the configuration.
    pub reload: Rc<Cell<bool>>,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type NginxProcess = Worker<NginxRun>;

impl DaemonActor for NginxProcess {
    const NAME: &'static str = "nginx";
    const DRAIN_PHASE: usize = shutdown::NGINX.0;
    const IS_ESSENTIAL: bool = false;
    const PART: Option<Part> = Some(Part::of_replica("nginx"));

    fn is_wanted(services: &Services) -> bool {
        services.nginx.is_some()
    }

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let prepared = wiring.services.nginx.clone();
        #[expect(clippy::expect_used, reason = "the actor is made only if it is wanted")]
        let PreparedNginx { place, is_open } = prepared.expect("nginx is prepared");
        Worker::new(NginxRun { place, is_open, reload: Rc::default(), status })
    }
}

impl Work for NginxRun {
    const FINISHES_ON_DRAIN: bool = true;

    async fn run(mut self, context: WorkContext) {
        self.status.set_state("waiting");
        tokio::select! {
            opened = self.is_open.wait_for(|is_open| *is_open) => if opened.is_err() { return },
            () = report_progress(&context) => return,
        }
        // A start reads the configuration anyway.
        self.reload.set(false);
        self.status.set_state("starting");
        let mut master = tokio::select! {
            started = Master::start(&self.place) => match started {
                Ok(master) => master,
                Err(error) => {
                    self.status.fails(&format_args!("nginx could not be started: {error}"));
                    return error!(%error, "nginx could not be started");
                }
            },
            () = context.draining() => return,
        };
        info!(pid = %master.pid(), listen = %self.place.listen(), "nginx started");
        if self.watch(&mut master, &context).await {
            master.stop(context.drain_within()).await;
            info!("nginx stopped");
        }
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

impl NginxRun {
    /// Watches nginx. Returns true when the drain begins, false when nginx has ended or must be killed.
    async fn watch(&self, master: &mut Master, context: &WorkContext) -> bool {
        let start = Instant::now();
        let mut probes = Probes::default();
        loop {
            tokio::select! {
                status = master.ended() => {
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    self.status.fails(&format_args!("nginx ended by itself: {status}"));
                    error!(status, "nginx ended unexpectedly: see its own messages above");
                    return false;
                }
                () = context.pause_until_woken(PROBE_EVERY) => {}
            }
            if context.is_draining() {
                return true;
            }
            if self.reload.take() {
                info!("nginx reloads its configuration");
                master.reload();
            }
            // Until nginx has its address, another program may answer there.
            if !probes.is_up && !master.has_its_address().await {
                if start.elapsed() > START_TIMEOUT {
                    self.status.fails(&format_args!("nginx did not open {}", self.place.listen()));
                    error!(
                        within_s = START_TIMEOUT.as_secs(),
                        "nginx did not open its address in time, killing it"
                    );
                    return false;
                }
                continue;
            }
            let probe = tokio::select! {
                probe = master.probe() => probe,
                () = context.draining() => return true,
            };
            if !probes.record(probe, &self.status) {
                return false;
            }
        }
    }
}

/// Results of the probes of one nginx.
#[derive(Default)]
struct Probes {
    /// True once a connection was accepted.
    is_up: bool,
    /// Unanswered probes in a row.
    missed: u32,
    /// Probes in a row whose connection nginx closed, because it has no room.
    full: u32,
}

impl Probes {
    /// Reports a probe in the status and the log. Returns false if nginx must be killed.
    fn record(&mut self, probe: Probe, status: &ChildStatus) -> bool {
        match probe {
            Probe::Answered => {
                if self.full >= FAILING_MIN {
                    info!("nginx has free connections again");
                }
                *self = Self { is_up: true, ..Self::default() };
                status.set_state("running");
                status.succeeds("nginx answers");
                true
            }
            // A restart would cut all readers off, and whoever holds the connections would come back.
            Probe::Full => {
                *self = Self { is_up: true, missed: 0, full: self.full.saturating_add(1) };
                status.set_state("full");
                if self.full >= FAILING_MIN {
                    status.fails(&"all connections of nginx are in use (worker_connections)");
                }
                if self.full == FAILING_MIN {
                    warn!("all connections of nginx are in use (worker_connections), it refuses new ones");
                }
                true
            }
            Probe::Missed => {
                self.missed += 1;
                let missed = self.missed;
                status.set_state("not answering");
                if missed >= FAILING_MIN {
                    status.fails(&format_args!("nginx did not answer {missed} probes in a row"));
                }
                warn!(missed, "nginx did not answer a probe");
                if missed >= MISSED_MAX {
                    error!("nginx does not answer, killing it");
                }
                missed < MISSED_MAX
            }
        }
    }
}

/// Reports progress until the drain begins.
async fn report_progress(context: &WorkContext) {
    while !context.is_draining() {
        context.pause(PROBE_EVERY).await;
    }
}

impl Handler<Envelope<ReloadNginx>> for NginxProcess {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<ReloadNginx>, _: &mut Context<Self>) {
        let handling = self.work.status.begin(&envelope);
        self.work.reload.set(true);
        self.context.wake(handling.trace());
    }
}
