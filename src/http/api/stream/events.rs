//! Events that every kind of reader gets.

use std::time::Duration;

use super::event_id::{EventId, ResumeError};

/// Longest silence. A reader behind a proxy would otherwise be cut off.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(10);
/// Interval at which a quiet stream looks whether the process drains.
pub(super) const DRAIN_POLL: Duration = Duration::from_secs(1);
/// Advice for the wait before the reader connects again.
pub(super) const RETRY: &str = "retry: 2000\n\n";
/// Sent after a long silence without a publication. A script must notice a connection that hangs, and `EventSource`
/// hides comments from it. So this is an event.
pub(super) const QUIET: &str = "event: quiet\ndata: {}\n\n";
/// Last event for a reader that cannot keep up.
pub(super) const DROPPED: &str = "event: dropped\ndata: {\"reason\":\"you read too slowly\"}\n\n";
/// Last event when the process drains.
pub(super) const END: &str = "event: end\ndata: {\"reason\":\"the ticker stops\"}\n\n";

/// Event for a reader whose missed changes are gone: it must read the documents again. Has the reason.
pub(super) fn reset(of: EventId, why: ResumeError) -> String {
    // The reasons have no characters that JSON escapes.
    event(of, "reset", &format!(",\"reason\":\"{why}\""))
}

/// First event for a new reader.
pub(super) fn hello(of: EventId) -> String {
    event(of, "hello", "")
}

/// Event that names a publication.
fn event(EventId { seq, as_of }: EventId, name: &str, more: &str) -> String {
    let shown = as_of.to_rfc3339();
    format!("id: {seq}.{}\nevent: {name}\ndata: {{\"seq\":{seq},\"as_of\":\"{shown}\"{more}}}\n\n", as_of.0)
}
