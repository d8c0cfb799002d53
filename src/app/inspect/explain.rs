//! The text of `stellar-ticker explain`.

use std::{fmt::Write as _, net::SocketAddr};

use serde_json::Value;

use super::{ask, other_version, print};
use crate::{
    app::{CommandError, EXIT_FOUND},
    config::visible_lines,
    domain::percent::encoded,
};

/// Prints the explanation. Returns 1 if the recomputation differs.
pub(super) fn show(public: SocketAddr, market: &str, field: &str, window: &str) -> Result<u8, CommandError> {
    let path =
        format!("/api/v1/markets/{}/explain?field={}&window={window}", encoded(market), encoded(field));
    let explained = ask(public, &path)?;
    let agrees = agrees(&explained).ok_or_else(|| other_version(&"it explains nothing"))?;
    print(&visible_lines(&text(&explained, agrees)))?;
    Ok(if agrees { 0 } else { EXIT_FOUND })
}

/// True if the recomputation gave the published figure. `None` if the document is no explanation.
fn agrees(explained: &Value) -> Option<bool> {
    explained.get("recomputed").and(explained.get("agrees"))?.as_bool()
}

/// Lays out the document of `/api/v1/markets/{market}/explain` as lines for a terminal.
fn text(explained: &Value, agrees: bool) -> String {
    let word = |name: &str| explained[name].as_str().unwrap_or_default();
    let value = |name: &str| match &explained[name] {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    let trades = &explained["trades"];
    let mut text = format!(
        "{} of {} over {}: {}\n{}\npublication: seq {}, as of {}\nwindow: after {}, up to {}\ntrades: {} in the window, {} counted\n",
        word("field"),
        word("market"),
        word("window"),
        value("value"),
        word("rule"),
        explained["seq"],
        word("as_of"),
        word("from"),
        word("to"),
        trades["in_window"],
        trades["counted"],
    );
    // Writing to a String never fails.
    for line in trades["left_out"].as_array().into_iter().flatten() {
        let tokens = line["paging_tokens"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let _ = writeln!(
            text,
            "  {} left out: {} ({})",
            line["count"],
            line["reason"].as_str().unwrap_or_default(),
            tokens.collect::<Vec<_>>().join(", ")
        );
    }
    let _ = writeln!(text, "deciding:");
    for trade in explained["deciding"].as_array().into_iter().flatten() {
        let word = |name: &str| trade[name].as_str().unwrap_or("none");
        let _ = writeln!(
            text,
            "  {} {} {} {} base, {} quote, price {}, {}",
            word("time"),
            word("paging_token"),
            word("type"),
            word("base_amount"),
            word("quote_amount"),
            word("price"),
            word("maker"),
        );
    }
    let verdict = if agrees { "equal" } else { "DIFFERENT" };
    let _ = writeln!(text, "recomputed from these trades: {} ({verdict})", value("recomputed"));
    let _ = writeln!(text, "in the database: {}", word("sql"));
    text
}
