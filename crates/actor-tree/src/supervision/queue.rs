//! Bound on a child's mailbox, and the number of messages in it.
//!
//! A message takes one of `capacity` slots when it enters. The slot belongs to the envelope. It is freed when the actor
//! takes the message out, or drops it because the sender gave up, or when the mailbox is dropped. So panics and kills,
//! which keep the mailbox, keep the count right.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of one mailbox.
#[derive(Debug)]
pub struct Queue {
    capacity: usize,
    slots: Arc<Semaphore>,
    /// Messages in the mailbox whose senders still wait for the answer.
    depth: AtomicUsize,
    /// Highest `depth` since the start of the process.
    high_water: AtomicUsize,
}

/// Mailbox in `/actors.json`. All numbers are messages; probes are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QueueView {
    /// Messages that no handler has begun and whose senders wait for the answer.
    pub depth: usize,
    /// Most messages that the mailbox takes.
    pub capacity: usize,
    /// Highest depth since the start of the process.
    pub high_water: usize,
    /// Messages whose senders gave up and that the actor has not dropped yet. They still take slots.
    pub abandoned: usize,
}

impl Queue {
    /// Creates a queue of `capacity` slots, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            capacity,
            slots: Arc::new(Semaphore::new(capacity)),
            depth: AtomicUsize::new(0),
            high_water: AtomicUsize::new(0),
        }
    }

    /// Waits for a slot, first come, first served. The ticket goes into the envelope; the caller half stays with the
    /// sender. Returns none if the semaphore is closed, which nothing does today.
    pub(crate) async fn enter(self: &Arc<Self>) -> Option<(Ticket, Caller)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        // Counted only with a slot in hand, so the depth never exceeds the capacity.
        let depth = self.depth.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.high_water.fetch_max(depth, Ordering::Relaxed);
        let place = Arc::new(Place {
            queue: Arc::clone(self),
            is_counted: AtomicBool::new(true),
            slot: Mutex::new(Some(slot)),
        });
        Some((Ticket(Arc::clone(&place)), Caller(place)))
    }

    /// Returns the current numbers.
    #[must_use]
    pub fn view(&self) -> QueueView {
        let depth = self.depth.load(Ordering::Relaxed);
        let taken = self.capacity.saturating_sub(self.slots.available_permits());
        QueueView {
            depth,
            capacity: self.capacity,
            high_water: self.high_water.load(Ordering::Relaxed),
            // Read without a lock, so this may be off by the messages of this moment.
            abandoned: taken.saturating_sub(depth),
        }
    }
}

/// Place of a message in the queue, shared by its envelope and its sender.
#[derive(Debug)]
struct Place {
    queue: Arc<Queue>,
    /// True while the message counts in `depth`.
    is_counted: AtomicBool,
    slot: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Place {
    fn discount(&self) {
        if self.is_counted.swap(false, Ordering::Relaxed) {
            self.queue.depth.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn free_slot(&self) {
        drop(self.slot.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Envelope's half of a place. Frees the slot when handling begins, or when the envelope is dropped.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Place>);

impl Ticket {
    /// Frees the slot now. A second call does nothing.
    pub(crate) fn leave(&self) {
        self.0.discount();
        self.0.free_slot();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Sender's half of a place. When dropped, the message no longer counts as waited for, but it keeps its slot.
#[derive(Debug)]
pub(crate) struct Caller(Arc<Place>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.discount();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn enter(queue: &Arc<Queue>) -> (Ticket, Caller) {
        queue.enter().now_or_never().expect("there is room").expect("it is open")
    }

    #[test]
    fn depth_rises_on_entry_and_falls_once_whichever_half_goes_first() {
        let queue = Arc::new(Queue::new(2));
        let (first, first_caller) = enter(&queue);
        let (second, second_caller) = enter(&queue);
        assert_eq!(queue.view(), QueueView { depth: 2, capacity: 2, high_water: 2, abandoned: 0 });

        first.leave();
        drop(first_caller);
        drop(first);
        assert_eq!(queue.view(), QueueView { depth: 1, capacity: 2, high_water: 2, abandoned: 0 });

        drop(second_caller);
        assert_eq!(queue.view(), QueueView { depth: 0, capacity: 2, high_water: 2, abandoned: 1 });
        drop(second);
        assert_eq!(queue.view(), QueueView { depth: 0, capacity: 2, high_water: 2, abandoned: 0 });
    }

    #[test]
    fn a_full_queue_admits_nobody_until_a_slot_is_freed() {
        let queue = Arc::new(Queue::new(0));
        let (only, _caller) = enter(&queue);
        assert!(queue.enter().now_or_never().is_none());
        only.leave();
        assert!(queue.enter().now_or_never().is_some());
    }
}
