//! `/status`: the ticker's own state. `/licences`: parts by others.

use askama::Template;
use ticker_domain::{
    conversions::SaturatingFrom, coverage::gaps, instant::UnixSeconds, plain_text::stripped,
};

use super::{
    Frame, LakeReport, TickerState, UnreadLedgers,
    frame::{Coverage, date_time, long_age},
    rendered,
};
use crate::shown;

/// Gaps that the page lists: history that cannot be read, then the others, the newest first.
const GAPS_MAX: usize = 50;

struct Gap {
    ledgers: String,
    count: String,
    time: String,
}

struct Fact {
    name: String,
    value: String,
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    frame: Frame,
    coverage: Coverage,
    days: Vec<String>,
    held: Vec<Gap>,
    gaps: Vec<Gap>,
    gap_count: usize,
    /// True if the first gap is history that cannot be read.
    lacks_history: bool,
    backfill: Vec<Fact>,
    budget: Vec<Fact>,
    audit: Vec<Fact>,
    replica: Vec<Fact>,
    /// Empty without a lake.
    lake: Vec<Fact>,
}

#[derive(Template)]
#[template(path = "licences.html")]
struct LicencesPage {
    frame: Frame,
}

/// Page of the ticker's own state.
#[must_use]
pub fn status(state: &TickerState) -> Vec<u8> {
    let frame = Frame::of(state, "/status");
    let missing = gaps(&state.coverage);
    let range = |range: &ticker_domain::coverage::LedgerRange| Gap {
        ledgers: format!("{} – {}", shown::count(range.from.into()), shown::count(range.to.into())),
        count: shown::count(u64::from(range.to.saturating_sub(range.from)).saturating_add(1)),
        time: format!("{} – {}", date_time(range.from_time), date_time(range.to_time)),
    };
    // Seven marks, one for each day before now.
    let day = |days: i64| date_time(state.now.minus(days.saturating_mul(86_400)));
    rendered(&StatusPage {
        coverage: frame.coverage.clone(),
        days: (0..=7).rev().map(|days| day(days).chars().skip(5).take(5).collect()).collect(),
        held: state.coverage.iter().rev().take(GAPS_MAX).map(range).collect(),
        lacks_history: state.unread.is_some(),
        gap_count: missing.len().saturating_add(state.unread.iter().len()),
        gaps: state.unread.iter().map(unread).chain(missing.iter().rev().map(range)).take(GAPS_MAX).collect(),
        backfill: backfill(state),
        budget: budget(state),
        audit: audit(state),
        replica: replica(state, &frame),
        lake: state.lake.as_ref().map_or_else(Vec::new, |lake| lake_facts(lake, state.now)),
        frame,
    })
}

/// Gap of the history that cannot be read.
fn unread(unread: &UnreadLedgers) -> Gap {
    let (to, from_time) = (shown::count(unread.to.into()), date_time(unread.from_time));
    let count = unread.from.map(|from| u64::from(unread.to.saturating_sub(from)).saturating_add(1));
    Gap {
        ledgers: unread.from.map_or_else(
            || format!("all up to {to}"),
            |from| format!("{} – {to}", shown::count(from.into())),
        ),
        count: shown::or_none(count, shown::count),
        time: format!("{from_time} – {}", date_time(unread.to_time)),
    }
}

/// Page of the licences of parts by others.
#[must_use]
pub fn licences(state: &TickerState) -> Vec<u8> {
    rendered(&LicencesPage { frame: Frame::of(state, "") })
}

fn fact(name: &str, value: impl Into<String>) -> Fact {
    Fact { name: name.to_owned(), value: value.into() }
}

fn backfill(state: &TickerState) -> Vec<Fact> {
    let Some(backfill) = state.backfill else {
        return vec![fact("Backfill", "not on this replica, or not begun")];
    };
    // Hundredths of a percent, rounded down to tenths.
    let percent = i64::saturating_from(backfill.done_ratio * 1_000.0).clamp(0, 1_000) * 10;
    let read = fact("History read", format!("{} %", shown::percent(percent)));
    // A complete history has no progress.
    if backfill.done_ratio >= 1.0 {
        return vec![read];
    }
    vec![
        read,
        fact("Complete in", shown::or_none(backfill.eta_s.filter(|eta_s| *eta_s > 0), long_age)),
        fact("Trades read", shown::count(backfill.trades)),
        fact("Trades a second", shown::count(backfill.trades_per_second)),
    ]
}

fn budget(state: &TickerState) -> Vec<Fact> {
    let Some(budget) = &state.budget else { return vec![fact("Budget", shown::NONE)] };
    let allowed = match budget.requests_per_hour {
        0 => "no limit".to_owned(),
        requests => format!("{} an hour", shown::count(requests.into())),
    };
    let mut facts = vec![
        fact("Allowed by the operator", allowed),
        fact(
            "Left according to Horizon",
            shown::or_none(budget.remaining, |count| shown::count(count.into())),
        ),
        fact(
            "Refused for another",
            if budget.blocked_s > 0 { long_age(budget.blocked_s) } else { "not refused".into() },
        ),
    ];
    let sent = budget.requests.iter();
    facts.extend(
        sent.map(|(class, count)| {
            fact(&format!("Sent for {}", class.replace('_', " ")), shown::count(*count))
        }),
    );
    facts
}

fn audit(state: &TickerState) -> Vec<Fact> {
    let Some(audit) = state.audit else { return vec![fact("Audit", "no pass yet")] };
    vec![
        fact("Last whole pass", shown::or_none(audit.at, |at| format!("{} UTC", date_time(at)))),
        fact("Markets compared", shown::count(audit.markets)),
        fact("Not compared", shown::count(audit.unread)),
        fact("Figures that differed", shown::count(audit.differences)),
        fact("Markets rebuilt", shown::count(audit.repaired)),
    ]
}

fn lake_facts(lake: &LakeReport, now: UnixSeconds) -> Vec<Fact> {
    let figures = &lake.figures;
    let ledger = |ledger: u32| shown::count(ledger.into());
    let mut facts = vec![
        fact("Address", stripped(&lake.url)),
        fact(
            "Newest ledger",
            shown::or_none(figures.newest, |(newest, at)| {
                format!("{}, {} old", ledger(newest), shown::age(now.0.saturating_sub(at.0)))
            }),
        ),
        fact("Ledgers read", shown::count(figures.ledgers)),
        fact("Refused", shown::count(figures.refused)),
        fact("Not fitting their neighbours", shown::count(figures.chain_breaks)),
        fact(
            "Hash of Horizon",
            shown::or_none(lake.hash_check, |(at, agrees)| {
                format!("{} at ledger {}", if agrees { "the same" } else { "another" }, ledger(at))
            }),
        ),
    ];
    if let Some((last, reason)) = &figures.last_refused {
        facts.push(fact("Refused last", format!("{}: {}", ledger(*last), stripped(reason))));
    }
    if let Some((since, error)) = &lake.outage {
        facts.push(fact("Cannot be read since", format!("{} UTC", date_time(*since))));
        facts.push(fact("Error", stripped(error)));
    }
    facts
}

fn replica(state: &TickerState, frame: &Frame) -> Vec<Fact> {
    let last = state.received_at.map(|at| format!("{} ago", shown::age(state.now.0.saturating_sub(at.0))));
    vec![
        fact("This replica", frame.replica.clone()),
        fact(&format!("Last data from {}", frame.source), last.unwrap_or_else(|| shown::NONE.to_owned())),
        fact("Stale", if state.is_stale { "yes" } else { "no" }),
        fact("Order books", frame.books.clone()),
        fact("Network", frame.network.clone()),
        fact("Version", state.version),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ticker_domain::coverage::LedgerRange;

    use super::*;
    use crate::pages::{BackfillState, LakeFigures};

    fn page(state: &TickerState) -> String {
        String::from_utf8(status(state)).unwrap()
    }

    #[test]
    fn a_lake_has_a_tile() {
        let tile = |lake: Option<LakeReport>| {
            let html = page(&TickerState { lake, now: UnixSeconds(86_500), ..TickerState::default() });
            html.split_once("<h2 id=\"lake\">")
                .map(|(_, tile)| tile.split_once("</section>").unwrap().0.to_owned())
        };
        assert_eq!(tile(None), None);
        let lake = LakeReport {
            url: "file:///lake".to_owned(),
            figures: LakeFigures {
                newest: Some((58_214_907, UnixSeconds(86_440))),
                ledgers: 1_234,
                ..LakeFigures::default()
            },
            hash_check: Some((58_214_900, true)),
            ..LakeReport::default()
        };
        let answers = tile(Some(lake.clone())).unwrap();
        for text in ["file:///lake", "58,214,907, 1 min old", "1,234", "the same at ledger 58,214,900"] {
            assert!(answers.contains(&format!("<dd>{text}</dd>")), "{text}: {answers}");
        }
        assert!(!answers.contains("Cannot be read"), "{answers}");
        let outage = Some((UnixSeconds(60), "no such \u{202e}directory".to_owned()));
        let failing = tile(Some(LakeReport { outage, ..lake })).unwrap();
        assert!(failing.contains("<dt>Cannot be read since</dt><dd>1970-01-01 00:01 UTC</dd>"), "{failing}");
        assert!(failing.contains("<dd>no such directory</dd>"), "{failing}");
    }

    #[test]
    fn history_that_cannot_be_read_is_the_first_gap() {
        let day = |days: i64| UnixSeconds(86_400 * days);
        let range = |from, to, from_time, to_time| LedgerRange { from, to, from_time, to_time };
        let held = vec![range(100, 199, day(8), day(9)), range(210, 300, day(9), day(10))];
        let unread = UnreadLedgers { from: None, to: 99, from_time: day(3), to_time: day(8) };
        let state = TickerState { now: day(10), coverage: Arc::new(held), ..TickerState::default() };
        let gaps = |unread| {
            let html = page(&TickerState { unread, ..state.clone() });
            let (_, table) = html.split_once("aria-label=\"Missing ledgers\"").unwrap();
            table.split_once("</table>").unwrap().0.to_owned()
        };
        assert!(!gaps(None).contains("up to"));
        let both = gaps(Some(unread));
        let row = "<tr><td class=\"left\">all up to 99</td><td>–</td>\
                   <td class=\"left\">1970-01-04 00:00 – 1970-01-09 00:00";
        assert!(both.split_once("<tbody>").unwrap().1.starts_with(row), "{both}");
        assert!(both.contains("200 – 209"), "{both}");
        let counted = gaps(Some(UnreadLedgers { from: Some(50), ..unread }));
        assert!(counted.contains("50 – 99</td><td>50</td>"), "{counted}");
        assert!(page(&TickerState { unread: Some(unread), ..state }).contains("Showing 2 of 2, "));
    }

    #[test]
    fn a_complete_history_has_no_progress() {
        let progress = ["Complete in", "Trades read", "Trades a second"];
        for (done_ratio, is_shown) in [(0.5, true), (1.0, false)] {
            let backfill = Some(BackfillState { done_ratio, eta_s: None, trades: 0, trades_per_second: 0 });
            let html = page(&TickerState { backfill, ..TickerState::default() });
            for name in progress {
                assert_eq!(html.contains(name), is_shown, "{done_ratio}: {name}");
            }
        }
    }
}
