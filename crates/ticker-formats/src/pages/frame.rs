//! Frame of all pages: the bar, the trust strip, the banner of stale data.

use ticker_domain::{
    conversions::SaturatingFrom,
    coverage::{self, LedgerRange},
    instant::{DAY, HOUR, UnixSeconds},
    ledger_source::LedgerSource,
    plain_text::stripped,
    span::Span,
};

use super::{TickerState, gaps};
use crate::{listings::ListingView, shown};

/// Parts of all pages around their content.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) network: String,
    pub(super) version: &'static str,
    /// Version and database. A script cannot continue the page with parts of a page that has others.
    pub(super) edition: String,
    /// Address of the current page in the navigation, or an empty text.
    pub(super) current: &'static str,
    pub(super) ledger: Option<String>,
    pub(super) closed_at: i64,
    /// Time of the answer, from which the script counts ages on.
    pub(super) now: i64,
    pub(super) age: String,
    pub(super) coverage: Coverage,
    /// Note about ledgers that are not known in the spans of figures. Empty if all are.
    pub(super) gaps: String,
    pub(super) audit: String,
    pub(super) audit_warns: bool,
    pub(super) books: String,
    pub(super) replica: String,
    pub(super) stale: Option<Stale>,
    pub(super) starting: Option<Starting>,
    /// Name of the source of new trades, in a sentence.
    pub(super) source: &'static str,
}

/// Progress before the first publication.
#[derive(Clone, Debug)]
pub(super) struct Starting {
    /// Share of the wanted time that is stored, in whole percent.
    pub(super) percent: u32,
    pub(super) trades: String,
    pub(super) trades_per_second: String,
    pub(super) eta: Option<String>,
    pub(super) remaining: Option<String>,
    pub(super) fault: Option<String>,
}

/// Banner of stale data.
#[derive(Clone, Debug)]
pub(super) struct Stale {
    pub(super) age: String,
    /// Time of the newest publication, if publications stand still.
    pub(super) still_since: Option<String>,
    /// Time of the last data from the source.
    pub(super) since: Option<String>,
    pub(super) ledger: String,
    pub(super) fault: Option<String>,
}

/// Coverage of the last 7 days, drawn on 168 units: one for each hour.
#[derive(Clone, Debug, Default)]
pub(super) struct Coverage {
    /// Held times: start and length.
    pub(super) held: Vec<(i64, i64)>,
    /// Holes between them: start and length, at least 2 so that they are seen.
    pub(super) holes: Vec<(i64, i64)>,
    pub(super) text: String,
    pub(super) warns: bool,
}

impl Frame {
    /// Frame of a page with the figures of a view, which may be older than the newest publication.
    pub(super) fn of_view(view: &ListingView, state: &TickerState, current: &'static str) -> Self {
        let snapshot = view.snapshot();
        let state = TickerState {
            as_of: Some(view.as_of()),
            latest: view.latest_ledger().or(state.latest),
            coverage: snapshot.shared_coverage(),
            oldest_book: snapshot.oldest_book(),
            ..state.clone()
        };
        Self::of(&state, current)
    }

    pub(super) fn of(state: &TickerState, current: &'static str) -> Self {
        let age_s = state.latest.map_or(0, |(_, closed_at)| state.now.0.saturating_sub(closed_at.0));
        let (audit, audit_warns) = audit(state);
        let stale = state.latest.filter(|_| state.is_stale).map(|(ledger, _)| Stale {
            age: long_age(age_s),
            still_since: state.still_since.map(|at| short_time(at, state.now)),
            since: state.received_at.map(|at| short_time(at, state.now)),
            ledger: shown::count(ledger.into()),
            fault: state.fault.as_deref().map(|fault| stripped(fault).into_owned()),
        });
        Self {
            network: network(&state.passphrase),
            version: state.version,
            edition: format!("{} {}", state.version, state.database),
            current,
            ledger: state.latest.map(|(ledger, _)| shown::count(ledger.into())),
            closed_at: state.latest.map_or(0, |(_, closed_at)| closed_at.0),
            now: state.now.0,
            age: shown::age(age_s),
            coverage: coverage(state),
            // By the clock of the figures, as in the list's own note: the script exchanges one for the other.
            gaps: gaps::note(&state.coverage, state.as_of.unwrap_or(state.now), &Span::ALL),
            audit,
            audit_warns,
            books: shown::or_none(state.oldest_book, |at| {
                format!("oldest {}", shown::age(state.now.0.saturating_sub(at.0)))
            }),
            replica: replica(state),
            stale,
            starting: (!state.is_published).then(|| starting(state)),
            source: name_of(state.source),
        }
    }
}

fn starting(state: &TickerState) -> Starting {
    let backfill = state.backfill;
    let ratio = backfill.map_or(0.0, |backfill| backfill.done_ratio);
    Starting {
        percent: u32::saturating_from(ratio * 100.0).min(100),
        trades: shown::count(backfill.map_or(0, |backfill| backfill.trades)),
        trades_per_second: shown::count(backfill.map_or(0, |backfill| backfill.trades_per_second)),
        eta: backfill.and_then(|backfill| backfill.eta_s).map(long_age),
        remaining: state
            .budget
            .as_ref()
            .and_then(|budget| budget.remaining)
            .map(|count| shown::count(count.into())),
        fault: state.fault.as_deref().map(|fault| stripped(fault).into_owned()),
    }
}

/// Name of a source in a sentence.
const fn name_of(source: LedgerSource) -> &'static str {
    match source {
        LedgerSource::Horizon => "Horizon",
        LedgerSource::Lake => "the lake",
        LedgerSource::Rpc => "Stellar RPC",
    }
}

/// Name of a network.
fn network(passphrase: &str) -> String {
    match passphrase {
        "Public Global Stellar Network ; September 2015" => "public network".to_owned(),
        "Test SDF Network ; September 2015" => "testnet".to_owned(),
        // Passphrases are a name and a date.
        other => stripped(other.split(" ;").next().unwrap_or_default()).chars().take(40).collect(),
    }
}

fn audit(state: &TickerState) -> (String, bool) {
    let Some(audit) = &state.audit else { return (shown::NONE.to_owned(), false) };
    let at = audit.at.map_or_else(|| "first pass running".to_owned(), |at| short_time(at, state.now));
    match audit.differences {
        0 => (format!("{at}, no difference"), false),
        count => (format!("{at}, differences: {}", shown::count(count)), true),
    }
}

fn replica(state: &TickerState) -> String {
    let id = state.replica.as_deref().map(stripped).unwrap_or_default();
    let id: String = id.chars().take(12).collect();
    let role = match state.is_leader {
        Some(true) => "leads",
        Some(false) => "follows",
        None => return shown::NONE.to_owned(),
    };
    if id.is_empty() { role.to_owned() } else { format!("{id}, {role}") }
}

fn coverage(state: &TickerState) -> Coverage {
    let edge = Span::Week.edge(state.now);
    let place = |at: UnixSeconds| (at.0.saturating_sub(edge.0) / HOUR).clamp(0, 168);
    let stretch = |range: &LedgerRange| {
        let start = place(range.from_time);
        let end = place(range.to_time.plus(HOUR - 1));
        (start, end.saturating_sub(start).max(1))
    };
    let recent = |range: &&LedgerRange| range.to_time > edge;
    let gaps = coverage::gaps(&state.coverage).into_iter();
    let unread = state.unread.filter(|unread| unread.to_time > edge);
    let known = unread.and_then(|unread| Some(unread.range(unread.from?)));
    let counted: Vec<LedgerRange> = known.into_iter().chain(gaps.filter(|gap| gap.to_time > edge)).collect();
    let missing: u64 =
        counted.iter().map(|hole| u64::from(hole.to.saturating_sub(hole.from)).saturating_add(1)).sum();
    // Without a first ledger, nobody knows how many are missing.
    let uncounted = unread.filter(|unread| unread.from.is_none());
    let lacks = [
        (missing > 0).then(|| shown::count(missing)),
        uncounted.map(|unread| format!("all before {}", short_time(unread.to_time, state.now))),
    ];
    let lacks: Vec<String> = lacks.into_iter().flatten().collect();
    let eta = state.backfill.and_then(|backfill| backfill.eta_s).filter(|eta_s| *eta_s > 0);
    let eta = eta.map(|eta_s| format!(", full in {}", long_age(eta_s))).unwrap_or_default();
    let first = state.coverage.iter().find(|range| range.to_time > edge).map(|range| range.from_time);
    let (text, warns) = match first {
        None => ("nothing held yet".to_owned(), true),
        Some(_) if !lacks.is_empty() => (format!("ledgers missing: {}{eta}", lacks.join(", ")), true),
        Some(first) if first > edge.plus(HOUR) => {
            let held = long_age(state.now.0.saturating_sub(first.0));
            (format!("last {} held{eta}", held.trim_start_matches("an ")), !eta.is_empty())
        }
        Some(_) => ("every ledger held".to_owned(), false),
    };
    let wide = |(start, length): (i64, i64)| (start.min(166), length.max(2));
    Coverage {
        held: state.coverage.iter().filter(recent).map(stretch).collect(),
        holes: counted
            .iter()
            .chain(&uncounted.map(|unread| unread.range(unread.to)))
            .map(stretch)
            .map(wide)
            .collect(),
        text,
        warns,
    }
}

/// Age in words, for sentences: `14 min`, `26 h`, `3 days`.
pub(super) fn long_age(seconds: i64) -> String {
    match seconds.max(0) {
        seconds if seconds < 2 * HOUR => shown::age(seconds.min(HOUR - 1)).replace("59 min", "an hour"),
        seconds if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        seconds => format!("{} days", seconds / DAY),
    }
}

/// Time of the day: `13:49:07 UTC`.
pub(super) fn clock_time(at: UnixSeconds) -> String {
    at.to_utc().format("%H:%M:%S UTC").to_string()
}

/// Date and time of the day: `2026-11-27 14:00`.
pub(super) fn date_time(at: UnixSeconds) -> String {
    at.to_utc().format("%Y-%m-%d %H:%M").to_string()
}

/// Time of the day, with the date if it is another day than `now`.
pub(super) fn short_time(at: UnixSeconds, now: UnixSeconds) -> String {
    let format = if at.day() == now.day() { "%H:%M UTC" } else { "%-d %b %H:%M UTC" };
    at.to_utc().format(format).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pages::{BackfillState, UnreadLedgers};

    fn state(coverage: Vec<LedgerRange>) -> TickerState {
        TickerState { now: UnixSeconds(10 * DAY), coverage: Arc::new(coverage), ..TickerState::default() }
    }

    const fn range(from: u32, to: u32, from_time: i64, to_time: i64) -> LedgerRange {
        LedgerRange { from, to, from_time: UnixSeconds(from_time), to_time: UnixSeconds(to_time) }
    }

    #[test]
    fn coverage_shows_its_holes_and_how_far_it_reaches() {
        let whole = coverage(&state(vec![range(1, 900, 2 * DAY, 10 * DAY)]));
        assert_eq!((whole.text.as_str(), whole.warns), ("every ledger held", false));
        assert_eq!((whole.held, whole.holes), (vec![(0, 168)], vec![]));
        let parts = vec![range(1, 100, 2 * DAY, 5 * DAY), range(713, 900, 5 * DAY + 60, 10 * DAY)];
        let broken = coverage(&state(parts));
        assert_eq!((broken.text.as_str(), broken.warns), ("ledgers missing: 612", true));
        assert_eq!(broken.holes, [(48, 2)], "a short hole is wide enough to be seen");
        let short = coverage(&state(vec![range(1, 900, 10 * DAY - 5 * HOUR, 10 * DAY)]));
        assert_eq!((short.text.as_str(), short.warns), ("last 5 h held", false));
        assert_eq!(coverage(&state(Vec::new())).text, "nothing held yet");
    }

    #[test]
    fn history_that_cannot_be_read_is_missing_too() {
        let held = vec![range(1_000, 1_900, 8 * DAY, 9 * DAY), range(1_911, 2_900, 9 * DAY + 60, 10 * DAY)];
        let shown = |from: Option<u32>, to_time: i64| {
            let unread =
                UnreadLedgers { from, to: 999, from_time: UnixSeconds(DAY), to_time: UnixSeconds(to_time) };
            let coverage = coverage(&TickerState { unread: Some(unread), ..state(held.clone()) });
            (coverage.text, coverage.warns, coverage.holes)
        };
        let gone =
            ("ledgers missing: 10, all before 9 Jan 00:00 UTC".to_owned(), true, vec![(144, 2), (0, 120)]);
        assert_eq!(shown(None, 8 * DAY), gone);
        let refused = ("ledgers missing: 510".to_owned(), true, vec![(0, 120), (144, 2)]);
        assert_eq!(shown(Some(500), 8 * DAY), refused);
        let (text, _, holes) = shown(None, 3 * DAY);
        assert_eq!((text.as_str(), holes), ("ledgers missing: 10", vec![(144, 2)]), "before the 7 days");
    }

    #[test]
    fn the_frame_of_a_view_is_of_its_last_ledger_and_not_of_a_newer_one() {
        let view = crate::test_view::view(&[]);
        let held = vec![range(1, 77, 0, view.as_of().0 - 4)];
        let view = crate::test_view::with_coverage(&view, held);
        let now = view.as_of().plus(9);
        let newer = Some((99, now.minus(1)));
        let state = TickerState { is_published: true, latest: newer, now, ..TickerState::default() };
        let frame = Frame::of_view(&view, &state, "/");
        assert_eq!((frame.ledger.as_deref(), frame.age.as_str()), (Some("77"), "13 s"));
        assert_eq!(Frame::of(&state, "/").ledger.as_deref(), Some("99"));
    }

    #[test]
    fn the_note_about_gaps_is_of_the_time_of_the_figures() {
        let view = crate::test_view::view(&[]);
        let (now, edge) = (view.as_of().plus(60), Span::Week.edge(view.as_of()).0);
        let held = vec![range(1, 70, 0, edge - 30), range(77, 99, edge + 30, view.as_of().0)];
        let view = crate::test_view::with_coverage(&view, held.clone());
        let note = gaps::of_view(&view, &Span::ALL);
        assert!(note.ends_with("figures of 7 days."), "{note}");
        assert_eq!(Frame::of_view(&view, &TickerState { now, ..TickerState::default() }, "/").gaps, note);
        let state = TickerState { now, as_of: Some(view.as_of()), ..state(held) };
        assert_eq!(Frame::of(&state, "/").gaps, note, "the page from which the script takes the note");
        assert_eq!(Frame::of(&TickerState { as_of: None, ..state }, "/").gaps, "", "a minute later");
    }

    #[test]
    fn before_the_first_publication_there_is_progress_and_no_ledger() {
        let backfill =
            BackfillState { done_ratio: 0.629, eta_s: Some(240), trades: 901_442, trades_per_second: 4_480 };
        let frame = Frame::of(&TickerState { backfill: Some(backfill), ..state(Vec::new()) }, "/");
        let starting = frame.starting.unwrap();
        assert_eq!((starting.percent, starting.trades.as_str()), (62, "901,442"));
        assert_eq!((starting.eta.as_deref(), frame.ledger), (Some("4 min"), None));
        for (eta_s, filled) in
            [(Some(240), " Reading the rest of the history then takes about 4 min.</p>"), (None, "</p>")]
        {
            let backfill = Some(BackfillState { eta_s, ..backfill });
            let page = crate::pages::starting(&TickerState { backfill, ..state(Vec::new()) });
            let page = String::from_utf8(page).unwrap();
            assert!(page.contains(&format!("Figures appear within a minute.{filled}")), "{page}");
        }
    }

    #[test]
    fn before_the_first_publication_a_fault_is_said_to_come_first() {
        let fault = Some("http://h cannot be reached".to_owned());
        let page = crate::pages::starting(&TickerState { fault, ..state(Vec::new()) });
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("Figures appear within a minute after the fault below has ended."), "{page}");
        assert!(page.contains("http://h cannot be reached"), "{page}");
    }

    #[test]
    fn a_stale_state_has_a_banner() {
        let latest = Some((58_214_761, UnixSeconds(10 * DAY - 862)));
        let fresh = Frame::of(&TickerState { is_published: true, latest, ..state(Vec::new()) }, "/");
        assert!(fresh.stale.is_none() && fresh.starting.is_none());
        let stale =
            Frame::of(&TickerState { is_published: true, latest, is_stale: true, ..state(Vec::new()) }, "/");
        assert_eq!(stale.stale.unwrap().age, "14 min");
        for (received_at, since) in [(10 * DAY, "00:00 UTC"), (8 * DAY - 60, "8 Jan 23:59 UTC")] {
            let received_at = Some(UnixSeconds(received_at));
            let state =
                TickerState { latest, received_at, is_stale: true, is_published: true, ..state(Vec::new()) };
            assert_eq!(Frame::of(&state, "/").stale.unwrap().since.as_deref(), Some(since));
        }
    }

    #[test]
    fn the_sentences_name_the_source_of_new_trades() {
        let latest = Some((58_214_761, UnixSeconds(10 * DAY - 862)));
        for (source, name) in [
            (LedgerSource::Horizon, "Horizon"),
            (LedgerSource::Lake, "the lake"),
            (LedgerSource::Rpc, "Stellar RPC"),
        ] {
            let state = TickerState {
                source,
                latest,
                received_at: Some(UnixSeconds(10 * DAY)),
                is_stale: true,
                is_published: true,
                fault: Some("it cannot be read".to_owned()),
                ..state(Vec::new())
            };
            let stale = String::from_utf8(crate::pages::licences(&state)).unwrap();
            let starting = crate::pages::starting(&TickerState { is_published: false, ..state.clone() });
            let (starting, status) = (
                String::from_utf8(starting).unwrap(),
                String::from_utf8(crate::pages::status(&state)).unwrap(),
            );
            assert!(stale.contains(&format!("Nothing has arrived from {name} since 00:00 UTC.")), "{stale}");
            assert!(stale.contains(&format!("will be added when {name} answers again.")), "{stale}");
            assert!(starting.contains("within a minute after the fault below has ended."), "{starting}");
            assert!(status.contains(&format!("<dt>Last data from {name}</dt>")), "{status}");
            assert_eq!(stale.contains("Horizon"), source == LedgerSource::Horizon, "{stale}");
        }
    }

    #[test]
    fn ages_in_sentences_are_coarse() {
        let ages = [5, 862, 3_599, 3_600, 7_199, 7_200, DAY, 2 * DAY].map(long_age);
        assert_eq!(ages, ["5 s", "14 min", "an hour", "an hour", "an hour", "2 h", "24 h", "2 days"]);
    }
}
