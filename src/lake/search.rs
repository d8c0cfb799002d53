//! Search for the newest object by asking for keys. Works with any server, since keys are computed.

use super::LakeError;

/// Number of the newest object: the one at or near `hint` after which none follows.
///
/// Steps double until one misses, then the distance is halved. A hole in the lake may end the search early.
pub(super) async fn newest(
    hint: u32,
    has: impl AsyncFn(u32) -> Result<bool, LakeError>,
) -> Result<Option<u32>, LakeError> {
    if !has(hint).await? {
        return newest_below(hint, 0, has).await;
    }
    let (mut found, mut step) = (hint, 1_u32);
    while let Some(next) = found.checked_add(step) {
        if !has(next).await? {
            return halved(found, next, has).await.map(Some);
        }
        (found, step) = (next, step.saturating_mul(2));
    }
    Ok(Some(found))
}

/// Number of the newest object below `above`, and at least `from`.
///
/// A step is a quarter of the way so far: larger ones may jump over all that a young lake has below a hole. From the
/// largest ledger to the first, that takes about a hundred requests.
pub(super) async fn newest_below(
    above: u32,
    from: u32,
    has: impl AsyncFn(u32) -> Result<bool, LakeError>,
) -> Result<Option<u32>, LakeError> {
    let mut missing = above;
    while missing > from {
        let step = ((above - missing) / 4).max(1);
        let next = missing.saturating_sub(step).max(from);
        if has(next).await? {
            return halved(next, missing, has).await.map(Some);
        }
        missing = next;
    }
    Ok(None)
}

/// Narrows down from one that is there and a higher one that is missing to neighbours, and
/// returns the one that is there.
async fn halved(
    mut found: u32,
    mut missing: u32,
    has: impl AsyncFn(u32) -> Result<bool, LakeError>,
) -> Result<u32, LakeError> {
    while missing - found > 1 {
        let middle = found + (missing - found) / 2;
        if has(middle).await? { found = middle } else { missing = middle }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_single_object_below_a_small_hole_is_found() {
        for hole in 1..4 {
            let found = newest_below(1 + hole, 0, async |index| Ok(index == 1));
            assert_eq!(found.now_or_never().unwrap().unwrap(), Some(1), "{hole}");
        }
    }

    proptest! {
        #[test]
        fn finds_the_end_of_a_lake_without_holes_in_few_requests(
            first in 0..3_000_000_u32, length in 1..3_000_000_u32, hint in 0..6_000_000_u32,
        ) {
            let last = first + length - 1;
            let asked = Cell::new(0);
            let has = async |index: u32| {
                asked.set(asked.get() + 1);
                Ok((first..=last).contains(&index))
            };
            let found = newest(hint, has).now_or_never().unwrap().unwrap();
            // A step down may jump over a short lake. Then nothing is found, and nothing wrong.
            if hint >= first && hint <= last || found.is_some() {
                prop_assert_eq!(found, Some(last));
            }
            prop_assert!(asked.get() <= 100, "{}", asked.get());
        }

        #[test]
        fn finds_what_lies_below_a_hole(
            length in 1..1_000_000_u32, hole in (0..17_u32).prop_flat_map(|bits| 1..=1_u32 << bits), from in 0..1_000_u32,
        ) {
            let last = from + length;
            // A lake of a third of the hole's length is not jumped over.
            let first = last.saturating_sub(hole / 3);
            let is_young = async |index: u32| Ok((first..=last).contains(&index));
            let found = newest_below(last + hole, 0, is_young).now_or_never().unwrap().unwrap();
            prop_assert_eq!(found, Some(last));
            let has = async |index: u32| Ok(index <= last);
            let found = newest_below(last + hole, from, has).now_or_never().unwrap().unwrap();
            prop_assert_eq!(found, Some(last));
            let nothing = newest_below(last, from, async |_| Ok(false)).now_or_never().unwrap().unwrap();
            prop_assert_eq!(nothing, None);
        }
    }
}
