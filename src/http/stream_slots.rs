//! Slots for readers of the live stream.

use std::sync::Arc;

use metrics::gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most readers at a time. Each takes a connection and some kilobytes.
const READERS_MAX: usize = 2_500;

/// Slots of this process.
#[derive(Clone, Debug)]
pub struct StreamSlots(Arc<Semaphore>);

/// Slot of one reader, freed when dropped.
#[derive(Debug)]
pub(super) struct StreamSlot {
    _permit: OwnedSemaphorePermit,
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        gauge!("ticker_live_readers").decrement(1.0);
    }
}

impl Default for StreamSlots {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READERS_MAX)))
    }
}

impl StreamSlots {
    /// Takes a slot; none if all are taken.
    pub(super) fn take(&self) -> Option<StreamSlot> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        gauge!("ticker_live_readers").increment(1.0);
        Some(StreamSlot { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_above_the_limit_gets_no_slot_until_another_one_leaves() {
        let slots = StreamSlots::default();
        let mut taken: Vec<StreamSlot> = (0..2_500).map(|_| slots.take().unwrap()).collect();
        assert!(slots.take().is_none());
        drop(taken.pop());
        assert!(slots.take().is_some());
    }
}
