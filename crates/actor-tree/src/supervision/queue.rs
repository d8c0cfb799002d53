//! Bound on a child's mailbox, and the number of messages in it.
//!
//! A message takes one of `capacity` slots when it enters. The slot belongs to the envelope. It is freed when the actor
//! takes the message out, or drops it because the sender gave up, or when the mailbox is dropped. So panics and kills,
//! which keep the mailbox, keep the count right.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
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
    /// Times of sending of the messages that count in `depth`, by number. Lower numbers were sent earlier.
    waiting: Mutex<BTreeMap<u64, Instant>>,
}

/// Mailbox in `/actors.json`. Probes are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QueueView {
    /// Messages that no handler has begun and whose senders wait for the answer.
    pub depth: usize,
    /// Most messages that the mailbox takes.
    pub capacity: usize,
    /// Highest depth since the start of the process.
    pub high_water: usize,
    /// Messages whose senders gave up and that the actor has not dropped yet. They still take slots.
    pub abandoned: usize,
    /// Time since the oldest waiting message was sent, in seconds; null if none waits.
    pub oldest_s: Option<f64>,
}

impl QueueView {
    /// Returns the slots that are taken. Abandoned messages take theirs until the actor takes them out.
    #[must_use]
    pub const fn taken(&self) -> usize {
        self.depth.saturating_add(self.abandoned)
    }

    /// Returns true if senders must wait for a slot.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.taken() >= self.capacity
    }
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
            waiting: Mutex::default(),
        }
    }

    /// Waits for a slot, first come, first served. The ticket goes into the envelope; the caller half stays with the
    /// sender. Returns none if the semaphore is closed, which nothing does today.
    pub(crate) async fn enter(self: &Arc<Self>, number: u64, sent: Instant) -> Option<(Ticket, Caller)> {
        let permit = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        // Counted only with a permit in hand, so the depth never exceeds the capacity.
        let depth = self.depth.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.high_water.fetch_max(depth, Ordering::Relaxed);
        self.waiting().insert(number, sent);
        let slot = Arc::new(QueueSlot {
            queue: Arc::clone(self),
            number,
            is_counted: AtomicBool::new(true),
            permit: Mutex::new(Some(permit)),
        });
        Some((Ticket(Arc::clone(&slot)), Caller(slot)))
    }

    /// Returns the current numbers.
    #[must_use]
    pub fn view(&self, now: Instant) -> QueueView {
        let depth = self.depth.load(Ordering::Relaxed);
        let taken = self.capacity.saturating_sub(self.slots.available_permits());
        QueueView {
            depth,
            capacity: self.capacity,
            high_water: self.high_water.load(Ordering::Relaxed),
            // Read without a lock, so this may be off by the messages of this moment.
            abandoned: taken.saturating_sub(depth),
            oldest_s: self.waiting().first_key_value().map(|(_, sent)| seconds_since(*sent, now)),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds_since(sent: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(sent).as_secs_f64()
}

/// Slot of a message in the queue, shared by its envelope and its sender.
#[derive(Debug)]
struct QueueSlot {
    queue: Arc<Queue>,
    /// Number of the message.
    number: u64,
    /// True while the message counts in `depth`.
    is_counted: AtomicBool,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl QueueSlot {
    /// Ends the counting. Returns true if the message counted until now.
    fn discount(&self) -> bool {
        let is_first = self.is_counted.swap(false, Ordering::Relaxed);
        if is_first {
            self.queue.depth.fetch_sub(1, Ordering::Relaxed);
            self.queue.waiting().remove(&self.number);
        }
        is_first
    }

    fn free(&self) {
        drop(self.permit.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Envelope's half of a slot. Frees the slot when handling begins, or when the envelope is dropped.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<QueueSlot>);

impl Ticket {
    /// Frees the slot now. Returns true if the message was still waited for; a second call returns false.
    pub(crate) fn leave(&self) -> bool {
        let was_waiting = self.0.discount();
        self.0.free();
        was_waiting
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Sender's half of a slot. When dropped, the message no longer counts as waited for, but it keeps its slot.
#[derive(Debug)]
pub(crate) struct Caller(Arc<QueueSlot>);

impl Caller {
    /// Gives up waiting. Returns true if handling had not begun.
    pub(crate) fn give_up(&self) -> bool {
        self.0.discount()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    fn enter(queue: &Arc<Queue>, number: u64, sent: Instant) -> (Ticket, Caller) {
        queue.enter(number, sent).now_or_never().expect("there is room").expect("it is open")
    }

    #[test]
    fn depth_rises_on_entry_and_falls_once_whichever_half_goes_first() {
        let queue = Arc::new(Queue::new(2));
        let now = Instant::now();
        let figures = |queue: &Queue| {
            let view = queue.view(now);
            (view.depth, view.capacity, view.high_water, view.abandoned)
        };
        let (first, first_caller) = enter(&queue, 1, now);
        let (second, second_caller) = enter(&queue, 2, now);
        assert_eq!(figures(&queue), (2, 2, 2, 0));

        assert!(first.leave());
        assert!(!first_caller.give_up(), "handling had begun");
        drop(first);
        assert_eq!(figures(&queue), (1, 2, 2, 0));

        assert!(second_caller.give_up());
        assert_eq!(figures(&queue), (0, 2, 2, 1));
        assert!(!second.leave(), "nobody waited any more");
        assert_eq!(figures(&queue), (0, 2, 2, 0));
    }

    #[test]
    fn a_queue_of_abandoned_messages_is_full() {
        let queue = Arc::new(Queue::new(2));
        let now = Instant::now();
        let (_first, first_caller) = enter(&queue, 1, now);
        assert!(!queue.view(now).is_full());
        let (second, second_caller) = enter(&queue, 2, now);
        assert!(first_caller.give_up() && second_caller.give_up());
        let view = queue.view(now);
        assert_eq!((view.depth, view.taken(), view.is_full()), (0, 2, true));
        assert!(queue.enter(3, now).now_or_never().is_none(), "its sender waits");
        second.leave();
        assert!(!queue.view(now).is_full());
    }

    #[test]
    fn the_oldest_waiting_message_has_an_age() {
        let queue = Arc::new(Queue::new(2));
        let now = Instant::now();
        assert_eq!(queue.view(now).oldest_s, None);
        let (first, _caller) = enter(&queue, 1, now);
        let _second = enter(&queue, 2, now + Duration::from_secs(1));
        let later = now + Duration::from_secs(3);
        assert_eq!(queue.view(later).oldest_s, Some(3.0));
        first.leave();
        assert_eq!(queue.view(later).oldest_s, Some(2.0));
    }

    #[test]
    fn a_full_queue_admits_nobody_until_a_slot_is_freed() {
        let queue = Arc::new(Queue::new(0));
        let now = Instant::now();
        let (only, _caller) = enter(&queue, 1, now);
        assert!(queue.enter(2, now).now_or_never().is_none());
        only.leave();
        assert!(queue.enter(3, now).now_or_never().is_some());
    }
}
