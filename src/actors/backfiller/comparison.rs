//! Comparison of held rows with the trades of their source: which are missing, contradict it, or are surplus. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    db::{
        held::HeldRow,
        trades::{IncomingTrade, QuarantineEntry},
    },
    domain::{
        cursor::PagingToken,
        instant::{DAY, UnixSeconds},
    },
};

/// Source that held rows are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ComparedWith {
    /// Pages of Horizon. A connection opened meanwhile may lead to another network.
    Pages,
    /// Ledgers of the lake, which prove their network themselves.
    Lake,
}

/// Trade of the source.
#[derive(Debug)]
pub(super) enum SourceTrade {
    /// A held row must be equal to it.
    Believed(Box<IncomingTrade>),
    /// The source has it, but its figures are not believed: nothing is said about its row.
    Unjudged(PagingToken),
}

/// Differences between held rows and their source.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// Trades that are not held.
    pub(super) missing: Vec<IncomingTrade>,
    /// Trades that are held with other figures.
    pub(super) contradicting: Vec<IncomingTrade>,
    /// Held rows that the source does not have.
    pub(super) surplus: BTreeMap<PagingToken, HeldRow>,
}

/// Comparison of one page of Horizon, or one ledger of the lake, with the held rows.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) with: ComparedWith,
    /// Everything from here up to the beginning of the page or ledger was compared.
    pub(super) below: PagingToken,
    /// Ledgers that are completely compared now.
    pub(super) ledgers: u64,
    /// True if something on the page could be a held trade but cannot be read.
    pub(super) is_unreadable: bool,
    pub(super) differences: Differences,
}

impl ComparedWith {
    /// Returns true if the network must be checked again before something is stored.
    pub(super) const fn needs_network_check(self) -> bool {
        matches!(self, Self::Pages)
    }

    /// Subject of the reasons in quarantine. The operator looks there to decide which side is right.
    const fn noun(self) -> &'static str {
        match self {
            Self::Pages => "Horizon",
            Self::Lake => "the lake",
        }
    }
}

impl Differences {
    /// Compares rows with all trades that the source has at the same places. Rows that are not newer than `kept_since`
    /// are never surplus. Neither is any if the source is not complete: a row may be a trade that could not be read.
    pub(super) fn of(
        mut rows: BTreeMap<PagingToken, HeldRow>,
        source_trades: impl IntoIterator<Item = SourceTrade>,
        kept_since: UnixSeconds,
        is_complete: bool,
    ) -> Self {
        let mut differences = Self::default();
        for trade in source_trades {
            let incoming = match trade {
                SourceTrade::Believed(incoming) => *incoming,
                SourceTrade::Unjudged(token) => {
                    rows.remove(&token);
                    continue;
                }
            };
            match rows.remove(&incoming.trade.token) {
                None => differences.missing.push(incoming),
                Some(row) if row.is(&incoming.trade) => {}
                Some(_) => differences.contradicting.push(incoming),
            }
        }
        if is_complete {
            rows.retain(|_, row| row.closed_at() > kept_since);
            differences.surplus = rows;
        }
        differences
    }

    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.contradicting.is_empty() && self.surplus.is_empty()
    }

    /// Positions of all differences.
    pub(super) fn places(&self) -> impl Iterator<Item = PagingToken> {
        let differing = self.missing.iter().chain(&self.contradicting);
        differing.map(|incoming| incoming.trade.token).chain(self.surplus.keys().copied())
    }

    /// Makes the entries in quarantine, which the operator decides on: the source's version of rows that contradict it,
    /// and surplus rows.
    pub(super) fn entries(&self, with: ComparedWith) -> Vec<QuarantineEntry> {
        let entry = |token, reason, raw| QuarantineEntry { source: "audit", token: Some(token), reason, raw };
        let conflicts = self.contradicting.iter().map(|incoming| {
            let what = "conflict: a row of this identity is held with other figures than";
            entry(incoming.trade.token, format!("{what} {} reports", with.noun()), incoming.raw.clone())
        });
        let surplus = self.surplus.iter().map(|(token, row)| {
            let reason = format!("surplus: this row is held, but {} has no such trade", with.noun());
            entry(*token, reason, Bytes::from(format!("{row:?}")))
        });
        conflicts.chain(surplus).collect()
    }
}

impl Comparison {
    /// Nothing below this place can be compared with pages now.
    pub(super) fn none(above: PagingToken) -> Self {
        Self {
            with: ComparedWith::Pages,
            below: above,
            ledgers: 0,
            is_unreadable: true,
            differences: Differences::default(),
        }
    }
}

/// Close time up to which rows are never surplus. A day of slack: a source may have dropped trades, or left them out,
/// that are about to be dropped here.
pub(super) const fn kept_since(now: UnixSeconds, retention_days: i64) -> UnixSeconds {
    now.minus(retention_days.saturating_sub(1).saturating_mul(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::backfiller::page::tests::received;

    /// Row of the table: the held row, the trade of the source, and the found difference.
    type Case = (Option<HeldRow>, Option<SourceTrade>, &'static str);

    fn incoming(order: i32) -> IncomingTrade {
        let received = received(7, order);
        IncomingTrade { trade: received.trade, raw: received.raw }
    }

    fn believed() -> Option<SourceTrade> {
        Some(SourceTrade::Believed(Box::new(incoming(0))))
    }

    fn unjudged() -> Option<SourceTrade> {
        Some(SourceTrade::Unjudged(incoming(0).trade.token))
    }

    /// Row that is equal to the trade of the source.
    fn equal() -> Option<HeldRow> {
        Some(HeldRow::of(&incoming(0).trade, 1))
    }

    /// Row of the same identity with another price.
    fn other() -> Option<HeldRow> {
        let mut trade = incoming(0).trade;
        trade.price_n = 3;
        Some(HeldRow::of(&trade, 1))
    }

    /// Two equal rows of the identity.
    fn twice() -> Option<HeldRow> {
        Some(HeldRow::of(&incoming(0).trade, 2))
    }

    fn found(
        held: Option<HeldRow>,
        source: Option<SourceTrade>,
        kept_since: UnixSeconds,
        is_complete: bool,
    ) -> &'static str {
        let rows = held.into_iter().map(|row| (incoming(0).trade.token, row)).collect();
        let differences = Differences::of(rows, source, kept_since, is_complete);
        let Differences { missing, contradicting, surplus } = &differences;
        assert_eq!(differences.places().count(), missing.len() + contradicting.len() + surplus.len());
        match (missing.len(), contradicting.len(), surplus.len()) {
            (0, 0, 0) if differences.is_empty() => "",
            (1, 0, 0) => "missing",
            (0, 1, 0) => "contradicting",
            (0, 0, 1) => "surplus",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_pair_of_a_held_row_and_a_trade_of_its_source_is_judged() {
        let table: [Case; 12] = [
            (None, None, ""),
            (None, believed(), "missing"),
            (None, unjudged(), ""),
            (equal(), None, "surplus"),
            (equal(), believed(), ""),
            (equal(), unjudged(), ""),
            (other(), None, "surplus"),
            (other(), believed(), "contradicting"),
            (other(), unjudged(), ""),
            (twice(), None, "surplus"),
            (twice(), believed(), "contradicting"),
            (twice(), unjudged(), ""),
        ];
        let at = incoming(0).trade.closed_at;
        for (number, (held, source, expected)) in table.into_iter().enumerate() {
            let copy = || match &source {
                Some(SourceTrade::Believed(trade)) => Some(SourceTrade::Believed(trade.clone())),
                Some(SourceTrade::Unjudged(token)) => Some(SourceTrade::Unjudged(*token)),
                None => None,
            };
            assert_eq!(found(held.clone(), copy(), at.minus(1), true), expected, "row {number}");
            // Without slack, or with a source that is not complete, no row is surplus. All else stays the same.
            let but_surplus = if expected == "surplus" { "" } else { expected };
            assert_eq!(found(held.clone(), copy(), at, true), but_surplus, "row {number} is too old");
            assert_eq!(found(held, copy(), at.minus(1), false), but_surplus, "row {number}, not complete");
        }
    }

    #[test]
    fn a_day_of_the_retention_is_slack() {
        assert_eq!(kept_since(UnixSeconds(10 * DAY), 8), UnixSeconds(3 * DAY));
    }

    #[test]
    fn the_reason_names_the_source_that_was_read() {
        let held = |order| (incoming(order).trade.token, HeldRow::of(&incoming(order).trade, 2));
        let rows = BTreeMap::from([held(0), held(1)]);
        let differences = Differences::of(rows, believed(), UnixSeconds(0), true);
        let reasons = |with| differences.entries(with).into_iter().map(|entry| entry.reason);
        assert_eq!(
            reasons(ComparedWith::Pages).collect::<Vec<_>>(),
            [
                "conflict: a row of this identity is held with other figures than Horizon reports",
                "surplus: this row is held, but Horizon has no such trade"
            ]
        );
        assert!(reasons(ComparedWith::Lake).all(|reason| reason.contains("the lake")));
        assert!(reasons(ComparedWith::Lake).all(|reason| !reason.contains("Horizon")));
        assert!(differences.entries(ComparedWith::Lake).iter().all(|entry| entry.source == "audit"));
    }
}
