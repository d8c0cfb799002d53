//! Parts of a stream of results that are stored together.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};

/// Returns the next result and all that follow within `within`; nothing at the end of the stream. Each part becomes a
/// numbered batch, so results that arrive one by one must not be stored one by one.
pub(super) async fn next_part<T>(results: &mut (impl Stream<Item = T> + Unpin), within: Duration) -> Vec<T> {
    let Some(first) = results.next().await else { return Vec::new() };
    let (until, mut part) = (Instant::now() + within, vec![first]);
    while let Ok(Some(result)) = timeout_at(until, results.next()).await {
        part.push(result);
    }
    part
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn results_that_follow_within_a_second_are_one_part_and_slow_ones_wait_no_longer() {
        let each = |millis: Vec<u64>| {
            stream::iter(millis)
                .map(|millis| async move {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    millis
                })
                .buffer_unordered(1)
        };
        let mut quick = Box::pin(each(vec![20; 32]));
        assert_eq!(next_part(&mut quick, Duration::from_secs(1)).await.len(), 32);
        assert_eq!(next_part(&mut quick, Duration::from_secs(1)).await.len(), 0);
        let mut slow = Box::pin(each(vec![3_000, 400, 500, 200, 5_000]));
        let mut parts = Vec::new();
        let begun = Instant::now();
        loop {
            let part = next_part(&mut slow, Duration::from_secs(1)).await;
            if part.is_empty() {
                break;
            }
            parts.push((part, begun.elapsed().as_millis() / 100));
        }
        assert_eq!(parts, [(vec![3_000, 400, 500], 40), (vec![200], 51), (vec![5_000], 91)]);
    }
}
