//! Slots for readers of the live stream.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most readers at a time. Each takes a connection and some kilobytes.
const READERS_MAX: usize = 2_500;

/// Slots of this process.
#[derive(Clone, Debug)]
pub struct StreamSlots(Arc<Semaphore>);

/// Slot of one reader, freed when dropped.
pub(super) type StreamSlot = OwnedSemaphorePermit;

impl Default for StreamSlots {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READERS_MAX)))
    }
}

impl StreamSlots {
    /// Takes a slot; none if all are taken.
    pub(super) fn take(&self) -> Option<StreamSlot> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}
