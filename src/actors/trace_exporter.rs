//! The trace exporter: sends recorded messages and steps to a collector of OpenTelemetry. It exists only if one is
//! configured. A collector that is slow or absent costs spans, nothing else.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc, time::Duration};

use metrics::counter;
use tokio::sync::broadcast::error::RecvError;
use tracing::{info, warn};

use super::{
    services::{self, Services},
    supervision::status::ChildStatus,
    trace::{record::Record, recorder::Recorder},
    wiring::{DaemonActor, Wiring},
    worker::{TICK, Work, WorkContext, Worker},
};
use crate::{
    config::OtlpExport,
    domain::{conversions::SaturatingFrom, shown_url::shown_url},
    otlp::{self, ExportError},
    outbound::retry::Retry,
    shutdown,
    trouble::FailureLog,
};

/// Part of the drain's time after which the last spans are given up.
const LAST_SEND: Duration = Duration::from_millis(500);

/// Dependencies of the trace exporter.
#[derive(Clone)]
pub struct TraceExport {
    /// Records to export.
    pub recorder: Arc<Recorder>,
    /// Client of the collector.
    pub client: otlp::Client,
    /// Settings of the export.
    pub export: OtlpExport,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type TraceExporter = Worker<TraceExport>;

impl DaemonActor for TraceExporter {
    const NAME: &'static str = "trace_exporter";
    const DRAIN_PHASE: usize = shutdown::FILES;

    fn is_wanted(services: &Services) -> bool {
        services.config.otlp.is_some() && services.recorder.is_on()
    }

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let Services { config, recorder, .. } = &wiring.services;
        #[expect(clippy::expect_used, reason = "the actor is made only if it is wanted")]
        let export = config.otlp.clone().expect("an endpoint is configured");
        Worker::new(TraceExport {
            recorder: Arc::clone(recorder),
            client: services::usable(otlp::Client::new(&export, config.ca_file.as_deref())),
            export,
            status,
        })
    }
}

impl Work for TraceExport {
    const FINISHES_ON_DRAIN: bool = true;

    async fn run(self, context: WorkContext) {
        info!(collector = shown_url(&self.export.url), "traces are exported");
        let queue = Rc::new(RefCell::new(Queue::new(self.export.queue_max)));
        tokio::select! {
            () = self.receive(&queue) => {}
            () = self.send_forever(&queue, &context) => {}
        }
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

impl TraceExport {
    /// Queues records as they end.
    async fn receive(&self, queue: &RefCell<Queue>) {
        let mut records = self.recorder.listen();
        loop {
            let dropped = match records.recv().await {
                Ok(record) if otlp::is_sampled(self.export.sampler, &record) => {
                    u64::from(!queue.borrow_mut().push(record))
                }
                Ok(_) => 0,
                Err(RecvError::Lagged(lost)) => lost,
                Err(RecvError::Closed) => return,
            };
            count("dropped", dropped);
        }
    }

    /// Sends what is queued, at the latest after the delay, until the drain.
    async fn send_forever(&self, queue: &RefCell<Queue>, context: &WorkContext) {
        let (mut retry, mut failures) = (Retry::default(), FailureLog::default());
        let (mut wait, mut is_refused) = (self.export.delay, false);
        while !context.is_draining() {
            self.status.set_state("waiting");
            // A full batch ends the wait early, but not the one that the collector asked for or that a failure needs.
            let is_full = || !is_refused && queue.borrow().records.len() >= self.export.batch_max;
            pause(wait, is_full, context).await;
            self.status.set_state("sending");
            let sent = self.send_all(queue, context).await;
            is_refused = sent.is_err();
            wait = match sent {
                Ok(None) => {
                    if failures.record_success() {
                        info!("the collector takes traces again");
                    }
                    self.status.succeeds("traces are exported");
                    retry.reset();
                    self.export.delay
                }
                Ok(Some(refusal)) => {
                    self.report(&refusal, &mut failures);
                    retry.reset();
                    self.export.delay
                }
                Err((error, after)) => {
                    self.report(&error, &mut failures);
                    retry.next_wait(after).max(self.export.delay)
                }
            };
        }
        // The drain has a limit of its own; what does not arrive by then is lost.
        let _ = tokio::time::timeout(LAST_SEND, self.send_all(queue, context)).await;
    }

    fn report(&self, error: &str, failures: &mut FailureLog) {
        self.status.fails(&error);
        if failures.record_failure(&error, std::time::Instant::now()) {
            warn!(error, collector = shown_url(&self.export.url), "traces could not be exported");
        }
    }

    /// Sends batches until fewer than a batch are left. Returns what the collector says if it took a batch but refused
    /// some of its spans. An error says how long the collector wants to be left alone.
    async fn send_all(
        &self,
        queue: &RefCell<Queue>,
        context: &WorkContext,
    ) -> Result<Option<String>, (String, Option<Duration>)> {
        let mut refusal = None;
        loop {
            let batch = queue.borrow().first(self.export.batch_max);
            if batch.is_empty() {
                return Ok(refusal);
            }
            let records = batch.iter().map(AsRef::as_ref);
            let request = otlp::request(records, &self.export.resource, &self.recorder.moment());
            match context.attend(self.client.send(&request)).await {
                Ok(taken) => {
                    let sent = queue.borrow_mut().remove(&batch);
                    let refused = taken.refused.min(sent);
                    count("refused", refused);
                    count("exported", sent.saturating_sub(refused));
                    if refused > 0 {
                        // Without numbers, since each new text is reported at once.
                        refusal = Some(format!("the collector refuses spans: {}", taken.message));
                    }
                }
                Err(ExportError::Refused(reason)) => {
                    count("refused", queue.borrow_mut().remove(&batch));
                    return Err((reason, None));
                }
                Err(ExportError::Retry { reason, after }) => return Err((reason, after)),
            }
        }
    }
}

/// Waits, but not longer than until a batch is full.
async fn pause(wait: Duration, is_full: impl Fn() -> bool, context: &WorkContext) {
    let mut left = wait;
    while !left.is_zero() && !context.is_draining() {
        let step = left.min(TICK);
        context.pause(step).await;
        left = left.saturating_sub(step);
        if is_full() {
            return;
        }
    }
}

/// Records that wait for the collector.
struct Queue {
    records: VecDeque<Arc<Record>>,
    max: usize,
}

impl Queue {
    fn new(max: usize) -> Self {
        Self { records: VecDeque::new(), max }
    }

    /// Adds a record. Returns false if there is no room.
    fn push(&mut self, record: Arc<Record>) -> bool {
        let has_room = self.records.len() < self.max;
        if has_room {
            self.records.push_back(record);
        }
        has_room
    }

    fn first(&self, count: usize) -> Vec<Arc<Record>> {
        self.records.iter().take(count).cloned().collect()
    }

    /// Removes a batch, which is at the front. Returns its size.
    fn remove(&mut self, batch: &[Arc<Record>]) -> u64 {
        self.records.drain(..batch.len().min(self.records.len()));
        u64::saturating_from(batch.len())
    }
}

fn count(result: &'static str, spans: u64) {
    counter!("ticker_otlp_spans_total", "result" => result).increment(spans);
}
