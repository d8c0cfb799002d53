//! `/api/v1/status`: what is held, and how fresh it is. Pure.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::{
    domain::coverage::{LedgerRange, gaps},
    published::{Publication, Vitals},
};

/// The answer. What is not known or not built yet is null, never left out.
pub(super) fn status(
    vitals: &Vitals,
    newest: Option<&Publication>,
    stale_after: Duration,
    now: DateTime<Utc>,
) -> Value {
    let latest = newest.and_then(|newest| newest.latest);
    let oldest_book = newest.and_then(|newest| newest.snapshot.oldest_book());
    let coverage = vitals.coverage.load();
    let ranges = |ranges: &[LedgerRange]| ranges.iter().map(range).collect::<Vec<_>>();
    let heard_s = heard_at(vitals, newest).map(|at| now.signed_duration_since(at).num_seconds());
    let stale_s = i64::try_from(stale_after.as_secs()).unwrap_or(i64::MAX);
    json!({
        "as_of": newest.map(|newest| newest.as_of.to_rfc3339()),
        "seq": newest.map(|newest| newest.seq),
        "ledger": latest.map(|(ledger, _)| ledger),
        "ledger_close_time": latest.map(|(_, closed_at)| closed_at.to_rfc3339()),
        "lag_s": latest.map(|(_, closed_at)| now.timestamp().saturating_sub(closed_at.0)),
        "stale": heard_s.is_none_or(|seconds| seconds > stale_s),
        "coverage": ranges(&coverage),
        "gaps": all_gaps(vitals, &coverage),
        "backfill": backfill(vitals),
        "budget": budget(vitals),
        "horizon": horizon(vitals),
        "audit": audit(vitals),
        "replica": {
            "id": vitals.replica_id.load().as_deref(),
            "leader": vitals.leader.load().as_ref().map(|leader| leader.ok),
        },
        "books": {"oldest_age_s": oldest_book.map(|at| now.timestamp().saturating_sub(at.0))},
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// When there last was news: a byte of the stream, or, on a follower, which has none of its own, the last trade that it
/// took in from the other's.
fn heard_at(vitals: &Vitals, newest: Option<&Publication>) -> Option<DateTime<Utc>> {
    if vitals.leader.load().as_ref().is_some_and(|leader| !leader.ok) {
        return newest.and_then(|newest| newest.latest).map(|(_, closed_at)| closed_at.to_utc());
    }
    vitals.stream.load().as_ref().map(|stream| stream.at)
}

/// Gaps between the held ranges, and wanted ledgers below them that cannot be read now. The first ledger is unknown for
/// those that Horizon no longer has.
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
    let told = vitals.backfill.load();
    let rounded = |seconds: f64| seconds.ceil();
    json!({
        "done_ratio": told.as_ref().map(|told| told.done_ratio),
        "eta_s": told.as_ref().and_then(|told| told.eta_s).map(rounded),
    })
}

fn horizon(vitals: &Vitals) -> Value {
    let told = vitals.horizon.load();
    let Some(told) = told.as_ref() else { return Value::Null };
    let outage = told.outage.as_ref();
    json!({
        "url": told.url,
        "ok": outage.is_none() && told.was_answered,
        "failing_since": outage.map(|(since, _)| since.to_rfc3339_opts(SecondsFormat::Secs, true)),
        "error": outage.map(|(_, error)| error),
    })
}

fn audit(vitals: &Vitals) -> Value {
    let (told, reread) = (vitals.audit.load(), vitals.reread.load());
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    json!({
        "at": told.as_ref().and_then(|told| told.at).map(time),
        "markets": told.as_ref().map(|told| told.markets),
        "unread": told.as_ref().map(|told| told.unread),
        "differences": told.as_ref().map(|told| told.differences),
        "repaired": told.as_ref().map(|told| told.repaired),
        "reread": reread.as_ref().map(|told| json!({
            "at": told.at.map(time),
            "ledgers": told.ledgers,
            "missing": told.missing,
            "contradicting": told.contradicting,
            "surplus": told.surplus,
        })),
    })
}

fn budget(vitals: &Vitals) -> Value {
    let told = vitals.budget.load();
    let Some(told) = told.as_ref() else { return Value::Null };
    let requests: serde_json::Map<String, Value> =
        told.requests.iter().map(|(class, count)| ((*class).to_owned(), json!(count))).collect();
    json!({
        "requests_per_hour": told.requests_per_hour,
        "tokens": told.tokens,
        "remaining": told.remaining,
        "blocked_s": told.blocked_s,
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
    use std::sync::Arc;

    #[test]
    fn nothing_is_left_out_before_anything_is_known() {
        let told = status(&Vitals::default(), None, Duration::from_secs(600), UnixSeconds(1_000).to_utc());
        let keys: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
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
            "audit",
            "replica",
            "books",
            "version",
        ];
        wanted.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, wanted);
        assert_eq!((&told["seq"], &told["stale"]), (&Value::Null, &Value::Bool(true)));
    }

    #[test]
    fn a_follower_is_as_stale_as_what_it_took_in() {
        let newest = |closed_at| {
            let snapshot = MarketSnapshot::default();
            Publication::render(4, Some((9, closed_at)), snapshot, &mut FileMaker::default()).unwrap()
        };
        let vitals = Vitals::default();
        let stale = |vitals: &Vitals, newest: &Publication| {
            let now = UnixSeconds(1_000).to_utc();
            status(vitals, Some(newest), Duration::from_secs(10), now)["stale"].clone()
        };
        assert_eq!(stale(&vitals, &newest(UnixSeconds(995))), json!(true), "nobody knows yet who leads");
        Vitals::tell(&vitals.leader, false, "", UnixSeconds(1).to_utc());
        assert_eq!(stale(&vitals, &newest(UnixSeconds(995))), json!(false));
        assert_eq!(stale(&vitals, &newest(UnixSeconds(989))), json!(true));
        // It led once, and heard the stream then.
        Vitals::tell(&vitals.stream, true, "", UnixSeconds(500).to_utc());
        assert_eq!(stale(&vitals, &newest(UnixSeconds(995))), json!(false));
        Vitals::tell(&vitals.leader, true, "", UnixSeconds(999).to_utc());
        assert_eq!(stale(&vitals, &newest(UnixSeconds(995))), json!(true), "who leads listens for himself");
    }

    #[test]
    fn tells_freshness_coverage_and_gaps() {
        let vitals = Vitals::default();
        Vitals::tell(&vitals.stream, true, "", UnixSeconds(990).to_utc());
        let range = |from, to| LedgerRange { from, to, from_time: UnixSeconds(1), to_time: UnixSeconds(2) };
        vitals.coverage.store(Arc::new(vec![range(1, 3), range(7, 9)]));
        let latest = Some((9, UnixSeconds(995)));
        let newest = Publication {
            as_of: UnixSeconds(999),
            ..Publication::render(4, latest, MarketSnapshot::default(), &mut FileMaker::default()).unwrap()
        };
        let told = status(&vitals, Some(&newest), Duration::from_secs(10), UnixSeconds(1_000).to_utc());
        assert_eq!((&told["lag_s"], &told["stale"], &told["ledger"]), (&json!(5), &json!(false), &json!(9)));
        assert_eq!(
            told["gaps"],
            json!([{"from": 4, "to": 6, "from_time": "1970-01-01T00:00:02Z", "to_time": "1970-01-01T00:00:01Z"}])
        );
        let later = status(&vitals, Some(&newest), Duration::from_secs(10), UnixSeconds(1_001).to_utc());
        assert_eq!(later["stale"], json!(true));
    }
}
