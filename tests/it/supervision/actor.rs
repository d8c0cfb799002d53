//! An actor that follows a script, faults included.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use stellar_ticker::actors::{
    envelope::Envelope,
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
    trace::subject::{Subject as TraceSubject, Traced},
};

/// Orders to the actor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    /// Count, and answer how often so far.
    Count,
    Panic,
    PanicInSpawned,
    PanicInWait,
    Stop,
    /// Spawn a future that never ends and holds something.
    Hold,
    /// Wait for ever, with the thread free.
    Hang,
    /// Hold the thread for ever.
    Block,
    /// Hold the thread for a number of steps of some milliseconds each, and report each step.
    Toil {
        steps: u32,
        step_ms: u64,
    },
    /// Hold the thread for some milliseconds and report nothing.
    Brood {
        ms: u64,
    },
}

/// An instruction from the test.
#[derive(Clone, Copy, Debug)]
pub(super) struct Do(pub(super) Deed);

impl Message for Do {
    type Result = u64;
}

impl Traced for Do {
    fn subject(&self) -> TraceSubject {
        TraceSubject::none().with("deed", 1)
    }
}

/// Orders to the next incarnations, and a record of their deeds. Shared with the test.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// Number of starts that panic.
    pub(super) falls_at_start: Arc<AtomicU64>,
    /// Number of stops that panic.
    pub(super) falls_in_stopped: Arc<AtomicU64>,
    /// Not 0: no progress.
    pub(super) stalls: Arc<AtomicU64>,
    /// Clones of this are held by futures.
    pub(super) held: Arc<()>,
    /// Drains that were answered.
    pub(super) drained: Arc<AtomicU64>,
}

fn takes_one(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

pub(super) struct Subject {
    status: Arc<ChildStatus>,
    script: Script,
    counted: u64,
}

impl Subject {
    pub(super) fn new(status: Arc<ChildStatus>, script: Script) -> Self {
        Self { status, script, counted: 0 }
    }
}

impl Actor for Subject {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        assert!(!takes_one(&self.script.falls_at_start), "fell at the start");
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        assert!(!takes_one(&self.script.falls_in_stopped), "fell in stopped");
    }
}

impl Supervised for Subject {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.counted = 0;
    }
}

impl Handler<Ping> for Subject {
    type Result = Pulse;

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) -> Pulse {
        if self.script.stalls.load(Ordering::SeqCst) == 0 {
            self.status.advance();
        }
        self.status.pulse()
    }
}

impl Handler<Drain> for Subject {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.script.drained.fetch_add(1, Ordering::SeqCst);
    }
}

impl Handler<Envelope<Do>> for Subject {
    type Result = u64;

    fn handle(&mut self, envelope: Envelope<Do>, ctx: &mut Context<Self>) -> u64 {
        let _handling = self.status.begin(&envelope);
        match envelope.body.0 {
            Deed::Count => self.counted += 1,
            Deed::Panic => panic!("as scripted"),
            Deed::PanicInSpawned => drop(ctx.spawn(async { panic!("in a spawned future") }.into_actor(self))),
            Deed::PanicInWait => ctx.wait(async { panic!("while it waits") }.into_actor(self)),
            Deed::Stop => ctx.stop(),
            Deed::Hold => {
                let held = Arc::clone(&self.script.held);
                let hold = async move {
                    std::future::pending::<()>().await;
                    drop(held);
                };
                ctx.spawn(hold.into_actor(self));
            }
            Deed::Hang => ctx.wait(std::future::pending().into_actor(self)),
            Deed::Block => block(),
            Deed::Toil { steps, step_ms } => {
                for _ in 0..steps {
                    hold_thread(Duration::from_millis(step_ms));
                    self.status.advance();
                }
            }
            Deed::Brood { ms } => hold_thread(Duration::from_millis(ms)),
        }
        self.counted
    }
}

fn block() {
    loop {
        hold_thread(Duration::from_secs(3_600));
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread that is held is what is tested")]
fn hold_thread(time: Duration) {
    std::thread::sleep(time);
}
