//! Spans of the windows that outputs show.

use super::instant::{HOUR, UnixSeconds};

/// Length of a window that ends at the time of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// 1 hour. Summed when an output asks for it.
    Hour,
    /// 24 hours. Every market keeps its statistics.
    Day,
    /// 7 days, the longest. Every market keeps its statistics.
    Week,
}

impl Span {
    /// All spans, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];
    /// Spans whose statistics every market keeps.
    pub const KEPT: [Self; 2] = [Self::Day, Self::Week];

    /// Length in hours.
    #[must_use]
    pub const fn hours(self) -> i64 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 168,
        }
    }

    /// Length in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.hours() * HOUR
    }

    /// Start of the window that ends at `as_of`. Exclusive: a trade at that second is outside.
    #[must_use]
    pub const fn edge(self, as_of: UnixSeconds) -> UnixSeconds {
        as_of.minus(self.seconds())
    }

    /// Name in outputs: `1h`, `24h` or `7d`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    /// Span of this name in outputs.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|span| span.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_spans_grow() {
        for span in Span::ALL {
            assert_eq!(Span::named(span.name()), Some(span));
            assert_eq!(span.edge(UnixSeconds(1_000_000)).0, 1_000_000 - span.hours() * 3_600);
        }
        assert!(Span::ALL.is_sorted_by_key(|span| span.hours()));
        assert_eq!(Span::named("24H"), None);
    }
}
