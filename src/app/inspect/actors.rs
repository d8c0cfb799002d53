//! The table of `stellar-ticker actors`.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal},
    net::SocketAddr,
};

use serde_json::Value;

use super::{CLEAR, ask, other_version, print, rest};
use crate::{app::CommandError, config::visible_lines};

/// Prints the table, with `watches` every second.
pub(super) fn show(admin: SocketAddr, watches: bool) -> Result<u8, CommandError> {
    loop {
        let tree = ask(admin, "/actors.json")?;
        let actors = tree.get("actors").and_then(Value::as_array);
        let actors = actors.ok_or_else(|| other_version(&"it lists no actors"))?;
        let table = visible_lines(&table(actors));
        let clear = if watches && io::stdout().is_terminal() { CLEAR } else { "" };
        if !print(&format!("{clear}{table}"))? || !watches {
            return Ok(0);
        }
        rest();
    }
}

/// Lays out `/actors.json`, a line for each actor. The mailbox reads: waiting messages, `+` abandoned ones, `/`
/// capacity, `^` the most that ever waited.
fn table(actors: &[Value]) -> String {
    let mut text = format!(
        "{:<18}{:<14}{:>9}{:>9}{:>12}{:>9}{:>8}  {}\n",
        "actor",
        "state",
        "uptime s",
        "restarts",
        "mailbox",
        "oldest s",
        "busy %",
        "slowest message (p99 queueing + handling ms)"
    );
    for actor in actors {
        let mailbox = &actor["mailbox"];
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let abandoned = match number(&mailbox["abandoned"]) {
            0 => String::new(),
            count => format!("+{count}"),
        };
        let filled = format!(
            "{}{abandoned}/{} ^{}",
            number(&mailbox["depth"]),
            number(&mailbox["capacity"]),
            number(&mailbox["high_water"])
        );
        let oldest = mailbox["oldest_s"].as_f64().map_or("-".to_owned(), |age| format!("{age:.1}"));
        let busy = actor.pointer("/busy/1m").and_then(Value::as_f64).unwrap_or(0.0) * 100.0;
        // Writing to a String never fails.
        let _ = writeln!(
            text,
            "{:<18}{:<14}{:>9}{:>9}{:>12}{:>9}{:>8.1}  {}",
            actor["name"].as_str().unwrap_or_default(),
            actor["state"].as_str().unwrap_or_default(),
            number(&actor["uptime_s"]),
            number(&actor["restarts"]),
            filled,
            oldest,
            busy,
            slowest(&actor["messages"]),
        );
        if let Some(exit) = actor["exits"].as_array().and_then(|exits| exits.last()) {
            let _ = writeln!(text, "  {}", last_exit(exit));
        }
    }
    text
}

/// Message type with the largest sum of both 99th percentiles.
fn slowest(messages: &Value) -> String {
    let p99 = |times: &Value| times["p99_ms"].as_f64().unwrap_or(0.0);
    let sum = |times: &Value| p99(&times["queueing"]) + p99(&times["handling"]);
    let messages = messages.as_object().into_iter().flatten();
    let slowest = messages.max_by(|(_, one), (_, other)| sum(one).total_cmp(&sum(other)));
    slowest.map_or_else(String::new, |(name, times)| {
        format!("{name} {:.1} + {:.1}", p99(&times["queueing"]), p99(&times["handling"]))
    })
}

fn last_exit(exit: &Value) -> String {
    let text = |name: &str| exit[name].as_str().unwrap_or_default();
    let mut line = format!("last exit {} generation {}: {}", text("at"), exit["generation"], text("reason"));
    for (label, name) in [("while handling", "message"), ("trace", "trace"), ("crash file", "crash_file")] {
        if !text(name).is_empty() {
            line.push_str(&format!(", {label} {}", text(name)));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mailbox_of_abandoned_messages_does_not_look_empty() {
        let line = |abandoned: u64| {
            let mailbox = json!({"depth": 0, "capacity": 16, "high_water": 16, "abandoned": abandoned});
            table(&[json!({"name": "one", "state": "idle", "mailbox": mailbox})])
        };
        assert!(line(16).contains(" 0+16/16 ^16 "), "{}", line(16));
        assert!(line(0).contains(" 0/16 ^16 "), "{}", line(0));
    }
}
