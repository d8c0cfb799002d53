//! An actor that only takes messages, for the cost of a message and its answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, Context, Handler};
use stellar_ticker::{
    actors::{
        envelope::Envelope,
        messages::TradesCommitted,
        port::Port,
        supervision::status::ChildStatus,
        trace::{
            context::TraceContext,
            recorder::Recorder,
            step::{Step, StepName},
        },
    },
    clock::SystemClock,
    db::trades::CommittedBatch,
    domain::{instant::UnixSeconds, trade_stats::WindowTrade},
};

use super::synthetic::Synthetic;

/// Markets in the batch of a message.
const MARKETS: u64 = 64;
/// Time of the newest trade in it.
const NEWEST: UnixSeconds = UnixSeconds(1_795_457_237);
/// Time limit for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

struct Idle(Arc<ChildStatus>);

impl Actor for Idle {
    type Context = Context<Self>;
}

impl Handler<Envelope<TradesCommitted>> for Idle {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<TradesCommitted>, _: &mut Context<Self>) {
        let _handling = self.0.begin(&envelope);
    }
}

/// Sender of messages to such an actor.
pub(crate) struct Sender {
    port: Port<TradesCommitted>,
    cause: TraceContext,
    batch: Arc<CommittedBatch>,
}

impl Sender {
    /// Starts the actor. Needs a running system.
    pub(crate) fn start(recorder: Arc<Recorder>) -> Self {
        let network = Synthetic::week(MARKETS, MARKETS, NEWEST);
        let trade = |number| WindowTrade::from(&network.make(number).trade());
        let trades = (0..).zip((0..network.trades).map(trade)).collect();
        let batch = Arc::new(CommittedBatch { seq: 1, trades, ..CommittedBatch::default() });
        let cause = Step::begin(&recorder, "bench", StepName("bench"), None).done();
        let status = ChildStatus::new("idle", 16, SystemClock::shared(), recorder);
        let actor = Idle(Arc::clone(&status)).start();
        Self { port: Port::new("bench", actor.recipient(), status), cause, batch }
    }

    /// Sends this number of messages, each after the answer to the one before. Returns the time.
    pub(crate) async fn send(&self, messages: u64) -> Duration {
        let begun = Instant::now();
        for _ in 0..messages {
            let message = TradesCommitted { batch: Arc::clone(&self.batch) };
            self.port.call(Some(&self.cause), message, TIMEOUT).await.unwrap();
        }
        begun.elapsed()
    }
}
