//! Turn of the price audit: which assets a pass compares.

/// Passes in a row that try to compare the same assets. The next pass takes others, so that unreadable trades of some
/// assets keep no others from their turn.
const TRIES_MAX: u32 = 3;

/// Turn of the price audit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PriceTurn {
    /// Number of the turn, which chooses its assets.
    number: usize,
    /// Passes in a row that could not compare them.
    failures: u32,
}

impl PriceTurn {
    /// Returns the number of the turn.
    pub(super) const fn number(self) -> usize {
        self.number
    }

    /// Returns the turn of the pass after this one. Assets that could not be compared have another turn at once.
    pub(super) const fn after_pass(self, is_compared: bool) -> Self {
        let failures = self.failures.saturating_add(1);
        if is_compared || failures >= TRIES_MAX {
            Self { number: self.number.wrapping_add(1), failures: 0 }
        } else {
            Self { failures, ..self }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_that_could_not_be_compared_have_the_next_turns_as_well_but_not_for_ever() {
        let mut turn = PriceTurn::default();
        let mut numbers = Vec::new();
        for is_compared in [true, false, true, false, false, false, false, true, true] {
            numbers.push(turn.number());
            turn = turn.after_pass(is_compared);
        }
        assert_eq!(numbers, [0, 1, 1, 2, 2, 2, 3, 3, 4]);
    }
}
