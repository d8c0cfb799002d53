//! Silence of a stream while pages have newer trades. Pure.

use std::time::{Duration, Instant};

use crate::domain::cursor::PagingToken;

/// Longest silence of the stream while pages have newer trades. Horizon's stream looks for a new ledger every 5 s, so a
/// longer silence means that the other end of the connection is gone.
pub(super) const SILENT_BEHIND_PAGES_MAX: Duration = Duration::from_secs(10);

/// Position at which a connection stands still while pages have newer trades, and since when. Only a record above that
/// position ends the silence: a greeting, or a repeated record, shows that the other end is there and not that it reads
/// ledgers.
#[derive(Debug, Default)]
pub(super) struct Silence(Option<(PagingToken, Instant)>);

impl Silence {
    /// Returns true if pages have had newer trades than the stream for too long. `newest` is the newest ledger of
    /// pages, `reached` the position of the stream.
    pub(super) fn is_too_long(&mut self, newest: u32, reached: PagingToken, now: Instant) -> bool {
        if newest <= reached.ledger() {
            self.0 = None;
            return false;
        }
        let (_, since) = self.0.filter(|(place, _)| *place == reached).unwrap_or((reached, now));
        self.0 = Some((reached, since));
        now.saturating_duration_since(since) >= SILENT_BEHIND_PAGES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(ledger: u32, order: i32) -> PagingToken {
        PagingToken { order, ..PagingToken::before_ledger(ledger) }
    }

    #[test]
    fn only_a_later_position_ends_a_silence_behind_pages() {
        let (mut silence, now) = (Silence::default(), Instant::now());
        let at = |seconds| now.checked_add(Duration::from_secs(seconds)).unwrap();
        assert!(!silence.is_too_long(10, place(10, 0), at(0)), "pages have nothing newer");
        assert!(!silence.is_too_long(11, place(10, 0), at(50)), "pages have only just become newer");
        assert!(!silence.is_too_long(12, place(10, 0), at(59)));
        assert!(!silence.is_too_long(12, place(10, 1), at(60)), "more of a large ledger came");
        assert!(!silence.is_too_long(12, place(10, 1), at(69)));
        assert!(silence.is_too_long(12, place(10, 1), at(70)), "whatever else was received meanwhile");
        assert!(!silence.is_too_long(12, place(12, 0), at(71)));
        assert!(!silence.is_too_long(13, place(12, 0), at(90)));
    }
}
