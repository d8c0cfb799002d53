//! Open stream of trades.

use std::{
    collections::VecDeque,
    pin::Pin,
    time::{Duration, Instant},
};

use awc::{ClientResponse, error::PayloadError};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::{
    error::HorizonError,
    rate_limiter::RateLimiter,
    sse::{EventDecoder, StreamEvent},
    stream_cost::StreamCost,
    wire::{self, ReceivedTrade, RecordError},
};
use crate::domain::plain_text::stripped;

/// Longest silence during an answer that live trades depend on.
pub(super) const LIVE_SILENCE_MAX: Duration = Duration::from_secs(10);

/// Item of a stream.
#[derive(Debug)]
pub enum StreamItem {
    /// Greeting of the server, without data.
    Open,
    /// Valid trade.
    Trade(Box<ReceivedTrade>),
    /// Record that is not a valid trade.
    Invalid(RecordError),
    /// Normal end: the limit of records is reached, or the server closed after its time. Reconnect at once.
    End,
}

type Body = Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>;

/// Open stream of trades. Ends with [`StreamItem::End`] or an error. Drop it then.
pub struct TradeStream {
    body: Body,
    decoder: EventDecoder,
    /// Decoded events that `next` has not returned yet.
    decoded: VecDeque<StreamEvent>,
    idle_timeout: Duration,
    /// True after the first bytes. Horizon greets at once, so only after that a quiet network may be silent.
    has_received: bool,
    /// Arrival time of the last bytes. It measures silence independently of how often `next` is called.
    received_at: Instant,
    limiter: RateLimiter,
    /// Requests that the open stream costs.
    cost: StreamCost,
}

impl TradeStream {
    pub(super) fn new<S>(response: ClientResponse<S>, idle_timeout: Duration, limiter: RateLimiter) -> Self
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
    {
        let opened = Instant::now();
        Self {
            body: Box::pin(response),
            decoder: EventDecoder::default(),
            decoded: VecDeque::new(),
            idle_timeout,
            has_received: false,
            received_at: opened,
            limiter,
            cost: StreamCost::new(opened),
        }
    }

    /// Next item. Cancel safe: dropping the future loses no received data.
    pub async fn next(&mut self) -> Result<StreamItem, HorizonError> {
        loop {
            if let Some(event) = self.decoded.pop_front() {
                let item = read_event(event);
                self.charge(&item);
                return item;
            }
            // The greeting must come soon. After it, a quiet network may be silent for the idle timeout.
            let silence_max =
                if self.has_received { self.idle_timeout } else { self.idle_timeout.min(LIVE_SILENCE_MAX) };
            let patience = silence_max.saturating_sub(self.received_at.elapsed());
            let chunk = actix_rt::time::timeout(patience, self.body.next()).await;
            let chunk = chunk.map_err(|_| HorizonError::Silent(silence_max))?;
            (self.has_received, self.received_at) = (true, Instant::now());
            match chunk {
                // Horizon ends a stream like this when the limit of records is reached.
                None => return Ok(StreamItem::End),
                Some(Err(error)) => {
                    self.limiter.record_disruption();
                    return Err(HorizonError::Connect(error.to_string()));
                }
                Some(Ok(mut chunk)) => {
                    // Decode the whole chunk now: it is lost if the next call is cancelled.
                    while let Some(event) = self.decoder.next(&mut chunk) {
                        self.decoded.push_back(event);
                    }
                }
            }
        }
    }
}

impl TradeStream {
    /// Charges received data to the budget.
    fn charge(&mut self, item: &Result<StreamItem, HorizonError>) {
        match item {
            Ok(StreamItem::Trade(received)) => {
                let is_poll = self.cost.note_record(received.trade.token.ledger(), self.received_at);
                if is_poll {
                    self.limiter.charge(1);
                }
            }
            Err(HorizonError::RateLimited { retry_after }) => self.limiter.record_refusal(*retry_after),
            _ => {}
        }
    }
}

fn read_event(event: StreamEvent) -> Result<StreamItem, HorizonError> {
    Ok(match event {
        StreamEvent::Open => StreamItem::Open,
        StreamEvent::Close => StreamItem::End,
        StreamEvent::Error(reason) => return Err(failure(&reason)),
        StreamEvent::TooLarge => {
            let reason = "the event is larger than any trade".to_owned();
            StreamItem::Invalid(RecordError { token: None, reason, raw: Bytes::new() })
        }
        StreamEvent::Record { id, data } => match wire::trade(data, Some(&id)) {
            Ok(received) => StreamItem::Trade(Box::new(received)),
            Err(refused) => StreamItem::Invalid(refused),
        },
    })
}

/// Error that `event: error` reports: a rate limit in words, or anything else.
fn failure(reason: &str) -> HorizonError {
    const REASON_CHARS_MAX: usize = 100;
    if reason.eq_ignore_ascii_case("rate limit exceeded") {
        return HorizonError::RateLimited { retry_after: None };
    }
    HorizonError::Stream(stripped(reason).chars().take(REASON_CHARS_MAX).collect())
}
