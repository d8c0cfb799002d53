//! Messages per second, by sender, receiver and type.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::rates::{RateSpan, Rates};

/// Counts of messages. The wiring is fixed, so the map does not grow.
#[derive(Debug, Default)]
pub(super) struct Flow(BTreeMap<Route, (u64, Rates)>);

/// Sender, receiver and type of message.
type Route = (&'static str, &'static str, &'static str);

/// A sender, a receiver and a type of message in `/flow.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowView {
    /// Name of the sender.
    pub from: &'static str,
    /// Name of the receiver.
    pub to: &'static str,
    /// Type of the message.
    #[serde(rename = "type")]
    pub message: &'static str,
    /// Messages since the start of the process.
    pub count: u64,
    /// Messages per second over the last minute.
    pub per_s_1m: f64,
    /// Messages per second over the last 15 minutes.
    pub per_s_15m: f64,
}

impl Flow {
    /// Makes a line that is shown before its first message.
    pub(super) fn announce(&mut self, from: &'static str, to: &'static str, message: &'static str) {
        self.0.entry((from, to, message)).or_default();
    }

    /// Counts a message.
    pub(super) fn count(
        &mut self,
        from: &'static str,
        to: &'static str,
        message: &'static str,
        since_start: Duration,
    ) {
        let (count, rates) = self.0.entry((from, to, message)).or_default();
        *count = count.saturating_add(1);
        rates.add(since_start, 1);
    }

    pub(super) fn view(&self, since_start: Duration) -> Vec<FlowView> {
        let line = |(route, (count, rates)): (&Route, &(u64, Rates))| FlowView {
            from: route.0,
            to: route.1,
            message: route.2,
            count: *count,
            per_s_1m: rates.per_second(since_start, RateSpan::Minute),
            per_s_15m: rates.per_second(since_start, RateSpan::Quarter),
        };
        self.0.iter().map(line).collect()
    }
}
