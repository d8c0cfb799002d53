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
pub(super) enum Behaviour {
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
    BlockInSteps {
        steps: u32,
        step_ms: u64,
    },
    /// Hold the thread until the script releases it, and report progress meanwhile.
    BlockUntilReleased,
    /// Hold the thread for some milliseconds and report nothing.
    BlockSilently {
        ms: u64,
    },
}

/// An instruction from the test.
#[derive(Clone, Copy, Debug)]
pub(super) struct Perform(pub(super) Behaviour);

impl Message for Perform {
    type Result = u64;
}

impl Traced for Perform {
    fn subject(&self) -> TraceSubject {
        TraceSubject::none().with("behaviour", 1)
    }
}

/// Orders to the next incarnations, and a record of what they did. Shared with the test.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// Number of starts that panic.
    pub(super) panics_at_start: Arc<AtomicU64>,
    /// Number of stops that panic.
    pub(super) panics_in_stopped: Arc<AtomicU64>,
    /// Not 0: no progress.
    pub(super) stalls: Arc<AtomicU64>,
    /// Clones of this are held by futures.
    pub(super) held: Arc<()>,
    /// Not 0: a handler holds its thread until `releases` is not 0 either.
    pub(super) holds: Arc<AtomicU64>,
    /// See `holds`.
    pub(super) releases: Arc<AtomicU64>,
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
        assert!(!takes_one(&self.script.panics_at_start), "panicked at the start");
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        assert!(!takes_one(&self.script.panics_in_stopped), "panicked in stopped");
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

impl Handler<Envelope<Perform>> for Subject {
    type Result = u64;

    fn handle(&mut self, envelope: Envelope<Perform>, ctx: &mut Context<Self>) -> u64 {
        let _handling = self.status.begin(&envelope);
        match envelope.body.0 {
            Behaviour::Count => self.counted += 1,
            Behaviour::Panic => panic!("as scripted"),
            Behaviour::PanicInSpawned => {
                ctx.spawn(async { panic!("in a spawned future") }.into_actor(self));
            }
            Behaviour::PanicInWait => ctx.wait(async { panic!("while it waits") }.into_actor(self)),
            Behaviour::Stop => ctx.stop(),
            Behaviour::Hold => {
                let held = Arc::clone(&self.script.held);
                let hold = async move {
                    std::future::pending::<()>().await;
                    drop(held);
                };
                ctx.spawn(hold.into_actor(self));
            }
            Behaviour::Hang => ctx.wait(std::future::pending().into_actor(self)),
            Behaviour::Block => block(),
            Behaviour::BlockInSteps { steps, step_ms } => {
                for _ in 0..steps {
                    hold_thread(Duration::from_millis(step_ms));
                    self.status.advance();
                }
            }
            Behaviour::BlockUntilReleased => {
                self.script.holds.store(1, Ordering::SeqCst);
                while self.script.releases.load(Ordering::SeqCst) == 0 {
                    hold_thread(Duration::from_millis(1));
                    self.status.advance();
                }
            }
            Behaviour::BlockSilently { ms } => hold_thread(Duration::from_millis(ms)),
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
