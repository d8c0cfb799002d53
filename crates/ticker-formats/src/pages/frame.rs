//! Frame of all pages: the bar, the trust strip, the banner of stale data.

use std::sync::Arc;

use ticker_domain::{
    conversions::SaturatingFrom,
    coverage::{LedgerRange, gaps},
    instant::{DAY, HOUR, UnixSeconds},
    ledger_source::LedgerSource,
    plain_text::stripped,
    span::Span,
};

use crate::shown;

/// State of the ticker at the moment of an answer. The HTTP server fills it in from the vitals.
#[derive(Clone, Debug, Default)]
pub struct TickerState {
    /// Time of the answer.
    pub now: UnixSeconds,
    /// Version of the program.
    pub version: &'static str,
    /// Passphrase of the network.
    pub passphrase: Arc<str>,
    /// Identity of the database.
    pub database: Arc<str>,
    /// True from the first publication on.
    pub is_published: bool,
    /// Last ledger with a trade, and its close time.
    pub latest: Option<(u32, UnixSeconds)>,
    /// Source of new trades.
    pub source: LedgerSource,
    /// Time of the last data from it.
    pub received_at: Option<UnixSeconds>,
    /// True if that is too long ago, or the newest publication is.
    pub is_stale: bool,
    /// Time of the newest publication, if that is too long ago.
    pub still_since: Option<UnixSeconds>,
    /// Fault of Horizon or of the lake, if there is one.
    pub fault: Option<String>,
    /// Complete ledgers, merged and in order.
    pub coverage: Arc<Vec<LedgerRange>>,
    /// Progress of the backfill.
    pub backfill: Option<BackfillState>,
    /// Result of the self-audit.
    pub audit: Option<AuditState>,
    /// Request budget at Horizon.
    pub budget: Option<BudgetState>,
    /// State of the lake. `None` without one.
    pub lake: Option<LakeReport>,
    /// Time when the oldest order book was polled.
    pub oldest_book: Option<UnixSeconds>,
    /// Id of this replica.
    pub replica: Option<String>,
    /// True if this replica leads, false if another does.
    pub is_leader: Option<bool>,
}

/// Progress of the backfill.
#[derive(Clone, Copy, Debug)]
pub struct BackfillState {
    /// Stored share of the wanted time, 0 to 1.
    pub done_ratio: f64,
    /// Estimated seconds until it is complete.
    pub eta_s: Option<i64>,
    /// Trades stored by it.
    pub trades: u64,
    /// Trades stored per second.
    pub trades_per_second: u64,
}

/// Result of the self-audit.
#[derive(Clone, Copy, Debug)]
pub struct AuditState {
    /// End of the last whole pass.
    pub at: Option<UnixSeconds>,
    /// Markets that it compared.
    pub markets: u64,
    /// Markets that it could not compare.
    pub unread: u64,
    /// Figures that differed.
    pub differences: u64,
    /// Markets that were rebuilt and match now.
    pub repaired: u64,
}

/// Request budget at Horizon.
#[derive(Clone, Debug)]
pub struct BudgetState {
    /// Requests per hour that the operator allows. 0 means no limit.
    pub requests_per_hour: u32,
    /// Requests left according to Horizon.
    pub remaining: Option<u32>,
    /// Seconds until requests may be sent again after a refusal.
    pub blocked_s: i64,
    /// Requests so far by class.
    pub requests: Vec<(&'static str, u64)>,
}

/// Ledgers that were read from a lake since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LakeFigures {
    /// Newest ledger that was read, and its close time.
    pub newest: Option<(u32, UnixSeconds)>,
    /// Number of ledgers that were read and believed.
    pub ledgers: u64,
    /// Number of ledgers that were refused.
    pub refused: u64,
    /// Breaks of the chain: ledgers that do not fit their neighbours, and runs of them that Horizon contradicts.
    pub chain_breaks: u64,
    /// Last refused ledger, and the reason.
    pub last_refused: Option<(u32, String)>,
}

/// State of a lake of ledger metadata, or of the RPC in its place.
#[derive(Clone, Debug, Default)]
pub struct LakeReport {
    /// URL without secrets.
    pub url: String,
    /// Ledgers that were read from it.
    pub figures: LakeFigures,
    /// Ledger whose hash was compared with Horizon's last, and true if the hashes agree.
    pub hash_check: Option<(u32, bool)>,
    /// Start of the outage that lasts, and its last error.
    pub outage: Option<(UnixSeconds, String)>,
}

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
    let holes: Vec<LedgerRange> =
        gaps(&state.coverage).into_iter().filter(|gap| gap.to_time > edge).collect();
    let missing: u64 =
        holes.iter().map(|hole| u64::from(hole.to.saturating_sub(hole.from)).saturating_add(1)).sum();
    let eta = state.backfill.and_then(|backfill| backfill.eta_s).filter(|eta_s| *eta_s > 0);
    let eta = eta.map(|eta_s| format!(", full in {}", long_age(eta_s))).unwrap_or_default();
    let first = state.coverage.iter().find(|range| range.to_time > edge).map(|range| range.from_time);
    let (text, warns) = match first {
        None => ("nothing held yet".to_owned(), true),
        Some(_) if missing > 0 => (format!("ledgers missing: {}{eta}", shown::count(missing)), true),
        Some(first) if first > edge.plus(HOUR) => {
            let held = long_age(state.now.0.saturating_sub(first.0));
            (format!("last {} held{eta}", held.trim_start_matches("an ")), !eta.is_empty())
        }
        Some(_) => ("every ledger held".to_owned(), false),
    };
    let wide = |(start, length): (i64, i64)| (start.min(166), length.max(2));
    Coverage {
        held: state.coverage.iter().filter(recent).map(stretch).collect(),
        holes: holes.iter().map(stretch).map(wide).collect(),
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
    use super::*;

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
