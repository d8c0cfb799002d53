//! Requirements of an actor of the daemon. Each actor meets them beside its work; `app::daemon::tree` lists the actors.

use std::sync::Arc;

use super::{
    receivers::Receivers,
    services::Services,
    supervision::{status::ChildStatus, tree::Child},
};

use crate::published::Part;

/// An actor of the daemon.
pub trait DaemonActor: Child {
    /// Name in logs, metrics, `/actors.json` and traces.
    const NAME: &'static str;
    /// Phase of the drain in which it finishes, of [`shutdown`](crate::shutdown).
    const DRAIN_PHASE: usize;
    /// False if the daemon is of use without the actor, so that its restarts must never end the process.
    const IS_ESSENTIAL: bool = true;
    /// Its part in `/readyz`, if its work may fail for long while it runs.
    const PART: Option<Part> = None;

    /// Returns false if these settings do without the actor. It is then in no list.
    fn is_wanted(_: &Services) -> bool {
        true
    }

    /// Makes the actor, on its own thread.
    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self;
}

/// All that an actor is made of. Cheap to clone; may be sent to any thread.
#[derive(Clone)]
pub struct Wiring {
    /// Parts shared by all actors.
    pub services: Services,
    /// Receivers of all messages.
    pub receivers: Receivers,
}
