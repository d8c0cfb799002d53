//! nginx in front of the public listener: started, probed, reloaded, stopped. On every replica, where it is asked for.
//!
//! When nginx ends, so does this incarnation of the actor: the supervisor paces and bounds the restarts of it as of any
//! other, counts them, and gives up when they do not help.

mod master;
mod place;

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use actix::{Context, Handler};
use tokio::{sync::watch, time::Instant};
use tracing::{error, info, warn};

use super::{
    envelope::Envelope,
    messages::ReloadNginx,
    supervision::status::ChildStatus,
    worker::{Work, WorkContext, Worker},
};
use master::Master;
pub use place::{NginxError, NginxPlace, NginxSettings};

/// How often it is probed.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// So many probes without an answer, one after another, and it is killed.
const MISSED_MAX: u32 = 5;
/// It must have its address within this time.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// What the actor works with.
#[derive(Clone)]
pub struct NginxRun {
    /// The prefix, ready.
    pub place: NginxPlace,
    /// True from when the daemon listens and its address is in the prefix.
    pub is_open: watch::Receiver<bool>,
    /// A reload was asked for.
    pub reload: Rc<Cell<bool>>,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type NginxProcess = Worker<NginxRun>;

impl Work for NginxRun {
    const FINISHES: bool = true;

    async fn run(mut self, context: WorkContext) {
        self.status.set_state("waiting");
        tokio::select! {
            opened = self.is_open.wait_for(|is_open| *is_open) => if opened.is_err() { return },
            () = advancing(&context) => return,
        }
        self.reload.set(false);
        self.status.set_state("starting");
        let mut master = tokio::select! {
            started = Master::start(&self.place) => match started {
                Ok(master) => master,
                Err(error) => return error!(%error, "nginx cannot be started"),
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
    /// Comes back when the drain begins: true; or when nginx has ended, or must.
    async fn watch(&self, master: &mut Master, context: &WorkContext) -> bool {
        let start = Instant::now();
        let (mut is_up, mut missed) = (false, 0);
        loop {
            tokio::select! {
                status = master.ended() => {
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    error!(status, "nginx ended by itself; its own words are in this log, as it wrote them");
                    return false;
                }
                () = context.rest(PROBE_EVERY) => {}
            }
            if context.is_draining() {
                return true;
            }
            if self.reload.take() {
                info!("nginx reads its configuration again");
                master.reload();
            }
            if !is_up && !master.has_its_address().await {
                if start.elapsed() > START_TIMEOUT {
                    error!(within_s = START_TIMEOUT.as_secs(), "nginx does not come up: it is killed");
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
                continue;
            }
            missed += 1;
            self.status.set_state("not answering");
            warn!(missed, "nginx does not answer");
            if missed >= MISSED_MAX {
                error!("nginx does not answer: it is killed");
                return false;
            }
        }
    }
}

/// Says that it lives, until the drain begins.
async fn advancing(context: &WorkContext) {
    while !context.is_draining() {
        context.pause(PROBE_EVERY).await;
    }
}

impl Handler<Envelope<ReloadNginx>> for NginxProcess {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<ReloadNginx>, _: &mut Context<Self>) {
        let _handling = self.work.status.begin(&envelope);
        self.work.reload.set(true);
        self.context.wake();
    }
}
