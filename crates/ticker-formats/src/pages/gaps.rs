//! Notes about ledgers that are missing from the windows of figures.

use ticker_domain::{
    coverage::{LAG_MAX, LedgerRange, is_whole_since, lacks_end},
    instant::{MINUTE, UnixSeconds},
    span::Span,
};

use crate::listings::ListingView;

/// Note below figures of these spans, the shortest span first. Empty if their trades are known, as `complete` in the
/// market API says.
pub(super) fn of_view(view: &ListingView, spans: &[Span]) -> String {
    note(view.coverage(), view.as_of(), spans)
}

/// The same at a time, with these held ledgers.
pub(super) fn note(held: &[LedgerRange], as_of: UnixSeconds, spans: &[Span]) -> String {
    let notes = [gap_note(held, as_of, spans), end_note(held, as_of).map(|note| format!("{note}."))];
    notes.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Text about the newest ledgers, without a full stop. `None` if they are known. On a quiet network all is well.
pub(super) fn end_note(held: &[LedgerRange], as_of: UnixSeconds) -> Option<String> {
    lacks_end(held, as_of).then(|| {
        let minutes = LAG_MAX / MINUTE;
        format!(
            "No trade of the last {minutes} minutes is known: the network is quiet, or the source is behind"
        )
    })
}

fn gap_note(held: &[LedgerRange], as_of: UnixSeconds, spans: &[Span]) -> Option<String> {
    let touched: Vec<Span> =
        spans.iter().copied().filter(|span| !is_whole_since(held, span.edge(as_of))).collect();
    let (longest, others) = touched.split_last()?;
    let shortest = touched.first()?;
    let others = others.iter().map(|span| length(*span)).collect::<Vec<_>>().join(", ");
    let and = if others.is_empty() { "" } else { " and " };
    Some(format!(
        "Not every ledger of the last {} is held, so trades may be missing from figures of {others}{and}{}.",
        length(*shortest).trim_start_matches("1 "),
        length(*longest),
    ))
}

const fn length(span: Span) -> &'static str {
    match span {
        Span::Hour => "1 hour",
        Span::Day => "24 hours",
        Span::Week => "7 days",
    }
}

#[cfg(test)]
mod tests {
    use ticker_domain::instant::{DAY, HOUR};

    use super::*;

    #[test]
    fn a_note_names_the_spans_that_a_gap_touches() {
        let now = UnixSeconds(100 * DAY);
        let range = |from, from_time, to_time| LedgerRange { from, to: from + 9, from_time, to_time };
        let noted = |gap_ended: i64, spans: &[Span]| {
            let gap = now.minus(gap_ended);
            let held = [range(1, now.minus(30 * DAY), gap.minus(60)), range(20, gap, now)];
            note(&held, now, spans)
        };
        assert_eq!(noted(8 * DAY, &Span::ALL), "");
        assert_eq!(
            noted(5 * DAY, &Span::ALL),
            "Not every ledger of the last 7 days is held, so trades may be missing from figures of 7 days."
        );
        assert_eq!(noted(5 * DAY, &[Span::Day]), "");
        assert_eq!(
            noted(2 * HOUR, &[Span::Day]),
            "Not every ledger of the last 24 hours is held, so trades may be missing from figures of 24 hours."
        );
        assert_eq!(
            noted(60, &Span::ALL),
            "Not every ledger of the last hour is held, so trades may be missing from figures of 1 hour, \
             24 hours and 7 days."
        );
    }

    #[test]
    fn a_note_says_that_no_newest_ledger_is_known_in_the_cases_in_which_no_window_is_complete() {
        let now = UnixSeconds(100 * DAY);
        let range = |from, from_time, to_time| LedgerRange { from, to: from + 9, from_time, to_time };
        let noted = |lag_s: i64| note(&[range(1, now.minus(30 * DAY), now.minus(lag_s))], now, &Span::ALL);
        let quiet =
            "No trade of the last 10 minutes is known: the network is quiet, or the source is behind.";
        assert_eq!((noted(LAG_MAX).as_str(), noted(LAG_MAX + 1).as_str()), ("", quiet));
        let gap = now.minus(2 * DAY);
        let held = [range(1, now.minus(30 * DAY), gap.minus(60)), range(20, gap, now.minus(HOUR))];
        let both = note(&held, now, &Span::ALL);
        assert!(both.starts_with("Not every ledger of the last 7 days is held"), "{both}");
        assert!(both.ends_with(&format!("figures of 7 days. {quiet}")), "{both}");
    }
}
