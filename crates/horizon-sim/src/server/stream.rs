//! Stream of trades, with events framed as in Horizon.

use super::Shared;
use super::record::push_record;
use crate::faults::{Fault, arrange, lacked_ledgers};
use crate::simulation::TradeQuery;
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const HELLO: &[u8] = b"retry: 1000\nevent: open\ndata: \"hello\"\n\n";
const BYEBYE: &[u8] = b"retry: 10\nevent: close\ndata: \"byebye\"\n\n";
const FAILED: &[u8] = b"event: error\ndata: Unexpected stream error\n\n";
const RATE_LIMITED: &[u8] = b"event: error\ndata: Rate limit exceeded\n\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Hello,
    Records,
    Byebye,
    Failed,
    RateLimited,
    Done,
}

/// Open stream.
pub(super) struct EventStream {
    shared: Arc<Shared>,
    query: TradeQuery,
    origin: String,
    fault: Option<Fault>,
    phase: Phase,
    deadline: Instant,
    /// Number of the newest ledgers that this server lacks.
    behind: u32,
    /// Ledger up to which records were checked. A newer one costs a request of the rate limit.
    seen: Option<u32>,
    /// Number of records before a fault ends the stream, and the phase that follows.
    ends_early: Option<(usize, Phase)>,
}

impl EventStream {
    pub(super) fn new(shared: Arc<Shared>, query: TradeQuery, origin: String, fault: Option<Fault>) -> Self {
        let ends_early = match &fault {
            Some(Fault::ByeByeEarly { after_records }) => Some((*after_records, Phase::Byebye)),
            Some(Fault::RateLimitedMidStream { after_records }) => Some((*after_records, Phase::RateLimited)),
            Some(Fault::ErrorMidStream { after_records }) => Some((*after_records, Phase::Failed)),
            _ => None,
        };
        let behind = lacked_ledgers(fault.as_ref());
        let deadline = Instant::now() + shared.stream_duration;
        Self { shared, query, origin, fault, phase: Phase::Hello, deadline, behind, seen: None, ends_early }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Bytes> + 'static {
        stream::unfold(self, |mut events| async move {
            let bytes = events.next().await?;
            Some((bytes, events))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        match self.phase {
            Phase::Hello => {
                self.phase = Phase::Records;
                Some(self.hello())
            }
            Phase::Records => match self.records().await {
                Some(records) => Some(records),
                None => self.closing_event(),
            },
            Phase::Byebye | Phase::Failed | Phase::RateLimited | Phase::Done => self.closing_event(),
        }
    }

    fn hello(&self) -> Bytes {
        let mut hello = HELLO.to_vec();
        if let Some(Fault::HugeEvent { bytes }) = self.fault {
            hello.extend_from_slice(b"data: \"");
            hello.resize(hello.len() + bytes, b'x');
            hello.extend_from_slice(b"\"\n\n");
        }
        Bytes::from(hello)
    }

    fn closing_event(&mut self) -> Option<Bytes> {
        let bytes = match self.phase {
            Phase::Byebye => BYEBYE,
            Phase::Failed => FAILED,
            Phase::RateLimited => RATE_LIMITED,
            _ => return None,
        };
        self.phase = Phase::Done;
        Some(Bytes::from_static(bytes))
    }

    /// Waits for the next records. `None` if the phase changed instead.
    async fn records(&mut self) -> Option<Bytes> {
        if let Some(Fault::Heartbeat { event, every }) = self.fault {
            return self.heartbeat(event, every).await;
        }
        loop {
            if let Some((0, phase)) = self.ends_early {
                self.phase = phase;
                return None;
            }
            if let Some(bytes) = self.poll_records() {
                return Some(bytes);
            }
            if self.phase != Phase::Records {
                return None;
            }
            let poll = Instant::now() + self.shared.stream_poll;
            sleep_until(poll.min(self.deadline)).await;
            if Instant::now() >= self.deadline {
                self.phase = Phase::Byebye;
                return None;
            }
        }
    }

    /// Waits for the next heartbeat. `None` if the stream's time is over.
    async fn heartbeat(&mut self, event: &str, every: Duration) -> Option<Bytes> {
        sleep_until((Instant::now() + every).min(self.deadline)).await;
        if Instant::now() >= self.deadline {
            self.phase = Phase::Byebye;
            return None;
        }
        Some(Bytes::from(format!("{event}\n\n")))
    }

    fn poll_records(&mut self) -> Option<Bytes> {
        let head = self.shared.sim.head().less(self.behind);
        // The connection's own request pays for the first check.
        if self.seen.is_some_and(|seen| seen < head.latest)
            && self.shared.limit.as_ref().is_some_and(|limit| !limit.take().is_granted)
        {
            self.phase = Phase::RateLimited;
            return None;
        }
        self.seen = Some(head.latest);
        let limit = self.ends_early.map_or(self.query.limit, |(left, _)| left.min(self.query.limit));
        let batch = self.shared.sim.batch(TradeQuery { limit, ..self.query }, head, &self.origin);
        self.query.after = batch.id(batch.len().checked_sub(1)?)?;
        self.query.limit -= batch.len();
        if let Some((left, _)) = &mut self.ends_early {
            *left -= batch.len();
        }
        if self.query.limit == 0 {
            self.phase = Phase::Byebye;
        }
        let mut out = Vec::new();
        for item in arrange(self.fault.as_ref(), batch.len()) {
            let id = batch.id(item.index)?;
            out.extend_from_slice(format!("id: {id}\ndata: ").as_bytes());
            push_record(&mut out, &batch, item);
            out.extend_from_slice(b"\n\n");
        }
        // A fault of records applies once, not to every ledger.
        if matches!(self.fault, Some(Fault::MalformedRecord { .. } | Fault::Repeat { .. } | Fault::Reorder)) {
            self.fault = None;
        }
        Some(Bytes::from(out))
    }
}
