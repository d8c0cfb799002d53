//! Shapes of `/actors.json`.

use std::{borrow::Cow, collections::BTreeMap};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{queue::QueueView, stats::MessageView};
use crate::trace::view::HandlingView;

/// Body of `/actors.json`.
#[derive(Debug, Clone, Serialize)]
pub struct TreeView {
    /// Children in the order in which they were added.
    pub actors: Vec<ActorView>,
}

/// A child in `/actors.json`.
#[derive(Debug, Clone, Serialize)]
pub struct ActorView {
    /// Name, as in logs.
    pub name: &'static str,
    /// Current work in the actor's own word, or `backoff` or `stopped`.
    pub state: Cow<'static, str>,
    /// Number of the incarnation, from 0.
    pub generation: u64,
    /// Restarts since the start of the process.
    pub restarts: u64,
    /// Age of this incarnation in seconds; 0 while it does not run.
    pub uptime_s: u64,
    /// Mailbox.
    pub mailbox: QueueView,
    /// Share of the time that its thread spent on a core.
    pub busy: BusyView,
    /// Messages that it is handling now.
    pub handling: Vec<HandlingView>,
    /// Last exit; null if there was none.
    pub last_exit: Option<ExitView>,
    /// Last 20 exits, the oldest first.
    pub exits: Vec<ExitView>,
    /// Counts and times by message type.
    pub messages: BTreeMap<&'static str, MessageView>,
}

/// Exit of an incarnation in `/actors.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExitView {
    /// Time of the exit, RFC 3339.
    pub at: DateTime<Utc>,
    /// Number of the incarnation.
    pub generation: u64,
    /// Reason, for people.
    pub reason: String,
    /// Type of the message that it handled then; null if none.
    pub message: Option<&'static str>,
    /// Trace of that message, 32 hex digits.
    pub trace: Option<String>,
    /// File with its last records; null if none was written.
    pub crash_file: Option<String>,
}

/// Busy shares in `/actors.json`, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BusyView {
    /// Share of the last minute.
    #[serde(rename = "1m")]
    pub over_1m: f64,
    /// Share of the last 15 minutes.
    #[serde(rename = "15m")]
    pub over_15m: f64,
}
