//! `/api/v1/status`: coverage, freshness and health of the data. Pure.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::{
    domain::{
        conversions::SaturatingFrom,
        coverage::{LedgerRange, gaps},
    },
    published::{HashCheck, Publication, Vitals},
};

/// Sources of the trades behind all figures.
const SCOPE: &str = "classic order book and classic liquidity pools; Soroban AMMs are not in it";

/// Returns the answer. Unknown values are null, never missing.
pub(super) fn status(
    vitals: &Vitals,
    newest: Option<&Publication>,
    stale_after: Duration,
    now: DateTime<Utc>,
) -> Value {
    let latest = newest.and_then(|newest| newest.latest);
    let oldest_book = newest.and_then(|newest| newest.snapshot.oldest_book());
    let coverage = complete_ledgers(vitals, newest);
    let ranges = |ranges: &[LedgerRange]| ranges.iter().map(range).collect::<Vec<_>>();
    let silent_s = received_at(vitals, newest).map(|at| now.signed_duration_since(at).num_seconds());
    let stale_s = i64::saturating_from(stale_after.as_secs());
    // Staleness is measured from the last byte of the stream, not from the last trade: a quiet network is not stale.
    json!({
        "as_of": newest.map(|newest| newest.as_of.to_rfc3339()),
        "seq": newest.map(|newest| newest.seq),
        "ledger": latest.map(|(ledger, _)| ledger),
        "ledger_close_time": latest.map(|(_, closed_at)| closed_at.to_rfc3339()),
        "lag_s": latest.map(|(_, closed_at)| now.timestamp().saturating_sub(closed_at.0)),
        "stale": silent_s.is_none_or(|seconds| seconds > stale_s),
        "coverage": ranges(&coverage),
        "gaps": all_gaps(vitals, &coverage),
        "backfill": backfill(vitals),
        "budget": budget(vitals),
        "horizon": horizon(vitals),
        "lake": lake(vitals, now),
        "audit": audit(vitals),
        "replica": {
            "id": vitals.replica_id.load().as_deref(),
            "leader": vitals.leader.load().as_ref().map(|leader| leader.ok),
        },
        "books": {"oldest_age_s": oldest_book.map(|at| now.timestamp().saturating_sub(at.0))},
        "scope": SCOPE,
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// Returns the time of the last data: of the last byte of the stream, or on a follower, which has no stream, of the
/// last trade that it read from the database.
pub(super) fn received_at(vitals: &Vitals, newest: Option<&Publication>) -> Option<DateTime<Utc>> {
    if vitals.follows() {
        return newest.and_then(|newest| newest.latest).map(|(_, closed_at)| closed_at.to_utc());
    }
    vitals.stream.load().as_ref().map(|stream| stream.at)
}

/// Returns the ledgers whose trades are all in the newest publication; before the first one, those that are stored.
pub(super) fn complete_ledgers(vitals: &Vitals, newest: Option<&Publication>) -> Arc<Vec<LedgerRange>> {
    newest.map_or_else(|| vitals.coverage.load_full(), |newest| newest.snapshot.shared_coverage())
}

/// Returns the gaps between the covered ranges, and the wanted ledgers below them that cannot be read now. The first
/// ledger is null if Horizon no longer has it.
fn all_gaps(vitals: &Vitals, coverage: &[LedgerRange]) -> Vec<Value> {
    let unread = vitals.unread_history.load();
    let unread = unread.as_ref().map(|unread| {
        json!({
            "from": unread.from,
            "to": unread.to,
            "from_time": unread.from_time.to_rfc3339(),
            "to_time": unread.to_time.to_rfc3339(),
        })
    });
    unread.into_iter().chain(gaps(coverage).iter().map(range)).collect()
}

fn backfill(vitals: &Vitals) -> Value {
    let backfill = vitals.backfill.load();
    let rounded = |seconds: f64| seconds.ceil();
    json!({
        "done_ratio": backfill.as_ref().map(|backfill| backfill.done_ratio),
        "eta_s": backfill.as_ref().and_then(|backfill| backfill.eta_s).map(rounded),
    })
}

fn horizon(vitals: &Vitals) -> Value {
    let state = vitals.horizon.load();
    let Some(state) = state.as_ref() else { return Value::Null };
    let outage = state.outage.as_ref();
    json!({
        "url": state.url,
        "ok": outage.is_none() && state.was_answered,
        "failing_since": outage.map(|(since, _)| since.to_rfc3339_opts(SecondsFormat::Secs, true)),
        "error": outage.map(|(_, error)| error),
    })
}

/// Returns the state of the lake; null without one.
fn lake(vitals: &Vitals, now: DateTime<Utc>) -> Value {
    let Some(lake) = vitals.lake.load() else { return Value::Null };
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let figures = lake.figures;
    let hash_check = match lake.hash_check {
        HashCheck::Unchecked => None,
        HashCheck::Agrees { ledger, at } => Some((ledger, at, true)),
        HashCheck::Differs { ledger, at } => Some((ledger, at, false)),
    };
    json!({
        "url": lake.outages.first().map_or(&lake.url, |outage| &outage.url),
        "newest_ledger": figures.newest.map(|(ledger, _)| ledger),
        "newest_close_time": figures.newest.map(|(_, at)| at.to_rfc3339()),
        "lag_s": figures.newest.map(|(_, at)| now.timestamp().saturating_sub(at.0)),
        "ledgers": figures.ledgers,
        "refused": figures.refused,
        "chain_breaks": figures.chain_breaks,
        "last_refused": figures.last_refused.map(|(ledger, reason)| json!({"ledger": ledger, "reason": reason})),
        "anchor": hash_check.map(|(ledger, at, agrees)| json!({"ledger": ledger, "at": time(at), "agrees": agrees})),
        "failing_since": lake.outages.first().map(|outage| time(outage.since)),
        "error": lake.outages.first().map(|outage| &outage.error),
    })
}

fn audit(vitals: &Vitals) -> Value {
    let (audit, reread) = (vitals.audit.load(), vitals.reread.load());
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    json!({
        "at": audit.as_ref().and_then(|audit| audit.at).map(time),
        "markets": audit.as_ref().map(|audit| audit.markets),
        "unread": audit.as_ref().map(|audit| audit.unread),
        "differences": audit.as_ref().map(|audit| audit.differences),
        "repaired": audit.as_ref().map(|audit| audit.repaired),
        "reread": reread.as_ref().map(|reread| json!({
            "at": reread.at.map(time),
            "ledgers": reread.ledgers,
            "missing": reread.missing,
            "contradicting": reread.contradicting,
            "surplus": reread.surplus,
        })),
    })
}

fn budget(vitals: &Vitals) -> Value {
    let budget = vitals.budget.load();
    let Some(budget) = budget.as_ref() else { return Value::Null };
    let requests: serde_json::Map<String, Value> =
        budget.requests.iter().map(|(class, count)| ((*class).to_owned(), json!(count))).collect();
    json!({
        "requests_per_hour": budget.requests_per_hour,
        "tokens": budget.tokens,
        "remaining": budget.remaining,
        "blocked_s": budget.blocked_s,
        "requests": requests,
    })
}

fn range(range: &LedgerRange) -> Value {
    json!({
        "from": range.from,
        "to": range.to,
        "from_time": range.from_time.to_rfc3339(),
        "to_time": range.to_time.to_rfc3339(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{instant::UnixSeconds, market_snapshot::MarketSnapshot},
        published::FileMaker,
    };

    #[test]
    fn nothing_is_left_out_before_anything_is_known() {
        let answer = status(&Vitals::default(), None, Duration::from_secs(600), UnixSeconds(1_000).to_utc());
        let keys: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = [
            "as_of",
            "seq",
            "ledger",
            "ledger_close_time",
            "lag_s",
            "stale",
            "coverage",
            "gaps",
            "backfill",
            "budget",
            "horizon",
            "lake",
            "audit",
            "replica",
            "books",
            "scope",
            "version",
        ];
        wanted.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, wanted);
        assert_eq!((&answer["seq"], &answer["stale"]), (&Value::Null, &Value::Bool(true)));
    }

    #[test]
    fn a_follower_is_as_stale_as_the_last_trade_that_it_read() {
        let newest = |closed_at| {
            let snapshot = MarketSnapshot::default();
            Publication::render(4, Some((9, closed_at)), snapshot, None, &mut FileMaker::default()).unwrap()
        };
        let vitals = Vitals::default();
        let stale = |vitals: &Vitals, newest: &Publication| {
            let now = UnixSeconds(1_000).to_utc();
            status(vitals, Some(newest), Duration::from_secs(10), now)["stale"].clone()
        };
        assert_eq!(stale(&vitals, &newest(UnixSeconds(995))), json!(true), "the leader is not known yet");
        vitals.leader.fails("", UnixSeconds(1).to_utc());
        assert_eq!(stale(&vitals, &newest(UnixSeconds(995))), json!(false));
        assert_eq!(stale(&vitals, &newest(UnixSeconds(989))), json!(true));
        // It led before, and received data from the stream then.
        vitals.stream.succeeds("", UnixSeconds(500).to_utc());
        assert_eq!(stale(&vitals, &newest(UnixSeconds(995))), json!(false));
        vitals.leader.succeeds("", UnixSeconds(999).to_utc());
        assert_eq!(stale(&vitals, &newest(UnixSeconds(995))), json!(true), "a leader has its own stream");
    }

    #[test]
    fn reports_freshness_coverage_and_gaps() {
        let vitals = Vitals::default();
        vitals.stream.succeeds("", UnixSeconds(990).to_utc());
        let range = |from, to| LedgerRange { from, to, from_time: UnixSeconds(1), to_time: UnixSeconds(2) };
        let [published, stored] = [vec![range(1, 3), range(7, 9)], vec![range(1, 12)]].map(Arc::new);
        vitals.coverage.store(stored);
        let latest = Some((9, UnixSeconds(995)));
        let snapshot = MarketSnapshot::default().with_coverage(published);
        let newest = Publication {
            as_of: UnixSeconds(999),
            ..Publication::render(4, latest, snapshot, None, &mut FileMaker::default()).unwrap()
        };
        let answer = status(&vitals, Some(&newest), Duration::from_secs(10), UnixSeconds(1_000).to_utc());
        let shown = (&answer["lag_s"], &answer["stale"], &answer["ledger"]);
        assert_eq!(shown, (&json!(5), &json!(false), &json!(9)));
        assert_eq!(
            answer["gaps"],
            json!([{"from": 4, "to": 6, "from_time": "1970-01-01T00:00:02Z", "to_time": "1970-01-01T00:00:01Z"}]),
            "the ledgers of the publication, not what was stored since"
        );
        let before = status(&vitals, None, Duration::from_secs(10), UnixSeconds(1_000).to_utc());
        assert_eq!((&before["coverage"][0]["to"], &before["gaps"]), (&json!(12), &json!([])));
        let later = status(&vitals, Some(&newest), Duration::from_secs(10), UnixSeconds(1_001).to_utc());
        assert_eq!(later["stale"], json!(true));
    }
}
