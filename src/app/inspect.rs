//! The commands `actors`, `trace` and `explain`: they ask the running daemon and print its answers for people.

mod actors;
mod explain;
mod trace;

use std::{fmt::Display, net::SocketAddr, time::Duration};

use serde_json::Value;

use super::{CommandError, output::print};
use crate::{
    cli::Inspection,
    config::Config,
    http::probe::{self, ProbeAnswer},
};

/// Time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Interval between two looks with `--watch` or `--follow`.
const EVERY: Duration = Duration::from_secs(1);
/// The ANSI sequence that clears a terminal.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Answers the question and returns the exit code.
pub(super) fn inspect(config: &Config, inspection: Inspection) -> Result<u8, CommandError> {
    match inspection {
        Inspection::Actors { watches } => actors::show(config.admin_bind, watches),
        Inspection::Trace { question, follows, prints_json } => {
            trace::show(config.admin_bind, &question, follows, prints_json)
        }
        Inspection::Explain { market, field, window } => explain::show(config.bind, &market, &field, &window),
    }
}

/// Requests a path of the daemon, and follows one redirect. Its problem documents become errors:
/// 400 and 404 say that the question is wrong.
fn ask(address: SocketAddr, path: &str) -> Result<Value, CommandError> {
    let get = |path: &str| {
        probe::get(address, path, PATIENCE).map_err(|error| {
            CommandError::Unavailable(format!(
                "no answer from the daemon on {address}: {error} (is it running? --bind and --admin-bind say where it \
                 listens)"
            ))
        })
    };
    let answer = match get(path)? {
        ProbeAnswer { status: 301, location: Some(location), .. } => get(&location)?,
        answer => answer,
    };
    let body: Value = serde_json::from_str(&answer.body).map_err(|error| {
        CommandError::Unavailable(format!("{address}{path} does not answer with JSON: {error}"))
    })?;
    if answer.status == 200 {
        return Ok(body);
    }
    let detail = body.get("detail").and_then(Value::as_str).unwrap_or("no reason given");
    Err(match answer.status {
        400 | 404 => CommandError::Usage(detail.to_owned()),
        status => CommandError::Unavailable(format!("the daemon answers {status}: {detail}")),
    })
}

/// Error for an answer that is none to this question.
fn other_version(why: &dyn Display) -> CommandError {
    CommandError::Unavailable(format!("what answers is no ticker, or a daemon of another version: {why}"))
}

/// Waits until the next look.
#[expect(clippy::disallowed_methods, reason = "the command has one thread and nothing else to do")]
fn rest() {
    std::thread::sleep(EVERY);
}
