//! nginx in front of the public listener: started, probed, reloaded, stopped. It runs on every replica with `--nginx`.
//!
//! When nginx ends, this incarnation of the actor ends too. The supervisor then restarts it like any other actor,
//! counts the restarts, and gives up when they do not help.

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
use master::Master;
use place::{NginxPlace, PreparedNginx};

/// Interval between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Unanswered probes in a row after which nginx is killed.
const MISSED_MAX: u32 = 5;
/// Unanswered probes in a row after which its check in `/readyz` fails. One alone may be a busy machine.
const FAILING_MISSED_MIN: u32 = 2;
/// Time limit for nginx to open its address.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// Dependencies of the actor.
#[derive(Clone)]
pub struct NginxRun {
    /// nginx's prefix, prepared.
    pub place: NginxPlace,
    /// True once the daemon listens and its address is in nginx's configuration.
    pub is_open: watch::Receiver<bool>,
    /// True if a reload was requested. Set by the handler, taken by the watch loop.
    pub reload: Rc<Cell<bool>>,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type NginxProcess = Worker<NginxRun>;

impl DaemonActor for NginxProcess {
    const NAME: &'static str = "nginx";
    const DRAIN_PHASE: usize = shutdown::NGINX.0;
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
        let (mut is_up, mut missed) = (false, 0);
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
            if !is_up && !master.has_its_address().await {
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
            let answers = tokio::select! {
                answers = master.answers() => answers,
                () = context.draining() => return true,
            };
            if answers {
                (is_up, missed) = (true, 0);
                self.status.set_state("running");
                self.status.succeeds("nginx answers");
                continue;
            }
            missed += 1;
            self.status.set_state("not answering");
            if missed >= FAILING_MISSED_MIN {
                self.status.fails(&format_args!("nginx did not answer {missed} probes in a row"));
            }
            warn!(missed, "nginx did not answer a probe");
            if missed >= MISSED_MAX {
                error!("nginx does not answer, killing it");
                return false;
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
