//! Objects of the lake that are read ahead of their storage, bounded by their number and by their trades.

use futures_util::{Stream, StreamExt as _};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use crate::domain::conversions::SaturatingFrom;

/// Trades that may wait to be stored, about 1 KB each. One object may have more, and those that are fetched at once are
/// not counted yet.
const TRADES_AHEAD: u32 = 50_000;

/// Item that was read ahead. Its room is free once it is dropped.
pub(super) struct Ahead<'a, T> {
    pub(super) item: T,
    pub(super) room: SemaphorePermit<'a>,
}

/// Room for trades that wait.
pub(super) fn room() -> Semaphore {
    Semaphore::new(usize::saturating_from(TRADES_AHEAD))
}

/// Reads items while there is room for their trades, and sends them, until there are none or nobody takes them.
pub(super) async fn read_ahead<'a, T>(
    items: impl Stream<Item = T>,
    trades_of: impl Fn(&T) -> usize,
    room: &'a Semaphore,
    sender: mpsc::Sender<Ahead<'a, T>>,
) {
    let mut items = std::pin::pin!(items);
    while let Some(item) = items.next().await {
        let trades = u32::saturating_from(trades_of(&item)).min(TRADES_AHEAD);
        let Ok(room) = room.acquire_many(trades).await else { return };
        if sender.send(Ahead { item, room }).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::stream;

    use super::*;

    /// Reads items of this many trades ahead, and takes all in turn. Returns the most that were read and not taken.
    async fn most_ahead(trades: usize) -> usize {
        let (read, most) = (Cell::new(0), Cell::new(0));
        let items = stream::iter(0..20).inspect(|_| read.set(read.get() + 1));
        let (room, (sender, mut receiver)) = (room(), mpsc::channel(8));
        let taking = async {
            let mut taken = 0;
            loop {
                for _ in 0..10 {
                    tokio::task::yield_now().await; // the reader goes as far as it may
                }
                most.set(most.get().max(read.get() - taken));
                let Some(_ahead) = receiver.recv().await else { return };
                taken += 1;
            }
        };
        tokio::join!(read_ahead(items, |_| trades, &room, sender), taking);
        assert_eq!(read.get(), 20, "all are read in the end");
        most.get()
    }

    #[tokio::test]
    async fn few_large_objects_are_read_ahead_and_many_small_ones() {
        assert!((8..=10).contains(&most_ahead(100).await));
        assert!((2..=4).contains(&most_ahead(20_000).await));
        assert!((1..=3).contains(&most_ahead(1_000_000).await), "one is larger than the room");
    }
}
