//! Distances at which an object above a missing one is looked for. Pure.

use crate::domain::conversions::SaturatingFrom;

/// Distances in objects at which a later one is looked for, in turn.
const LOOK_AHEAD: [u32; 5] = [1, 2, 8, 64, 128];
/// Rounds of these looks in which the last distance doubles. A hole may be days long.
const LOOK_ROUNDS: u32 = 11;

/// Distance in objects of a look.
pub(super) fn distance_of(look: u32) -> u32 {
    let len = u32::saturating_from(LOOK_AHEAD.len());
    let (round, index) = (look / len % LOOK_ROUNDS, look % len);
    let distance = LOOK_AHEAD.get(usize::saturating_from(index)).copied().unwrap_or(1);
    if index + 1 == len { distance << round } else { distance }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_reach_ever_further_and_begin_again() {
        let distances: Vec<u32> = (0..12).map(distance_of).collect();
        assert_eq!(distances, [1, 2, 8, 64, 128, 1, 2, 8, 64, 256, 1, 2]);
        let len = u32::try_from(LOOK_AHEAD.len()).unwrap();
        assert_eq!(distance_of(len * LOOK_ROUNDS - 1), 131_072);
        assert_eq!(distance_of(len * LOOK_ROUNDS + 4), 128);
    }
}
