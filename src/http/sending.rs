//! Accounts of the bodies that are being sent, and of the memory that they hold.
//!
//! A publication is made each second, and each reader holds the bytes that it receives. Slow readers of a 25 MB file would
//! hold dozens of old ones. So the bytes in use are bounded. If a reader needs another buffer and there is no room, the
//! readers of the oldest buffer are cut off. The newest readers win, since they get the newest data.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix_web::{HttpRequest, web};
use bytes::Bytes;

use super::{
    body::PIECE_BYTES,
    connection::{Body, Connection, Cut},
    negotiation::Coding,
};

/// Plain files that are being sent: three of those of 30,000 markets.
const PLAIN_BYTES_MAX: usize = 80 * 1024 * 1024;
/// Compressed ones: a dozen of those of 30,000 markets.
const CODED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Answers of GraphQL. All that are made or kept have a bound of their own, so that others can be made meanwhile.
const ANSWERS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bodies that all threads of a listener are sending. Each kind has room of its own, so that readers of one kind do not
/// cut off those of another.
#[derive(Debug, Default)]
pub(super) struct Sending {
    plain: InUse<PLAIN_BYTES_MAX>,
    coded: InUse<CODED_BYTES_MAX>,
    answers: InUse<ANSWERS_BYTES_MAX>,
}

/// Guard held until a body is sent: its connection is watched, and its bytes are counted.
#[derive(Debug)]
pub(super) struct Ticket {
    body: Body,
    _place: Option<Place>,
}

/// Buffers of one kind.
#[derive(Debug, Default)]
struct InUse<const BYTES_MAX: usize>(Arc<Mutex<Buffers>>);

#[derive(Debug, Default)]
struct Buffers {
    bytes: usize,
    next: u64,
    /// From old to new.
    all: BTreeMap<u64, Buffer>,
}

#[derive(Debug)]
struct Buffer {
    /// Address of the buffer, unique as long as somebody reads it.
    at: usize,
    bytes: usize,
    readers: BTreeMap<u64, Arc<Connection>>,
}

/// A reader of a buffer, until it is dropped.
#[derive(Debug)]
struct Place {
    buffers: Arc<Mutex<Buffers>>,
    buffer: u64,
    reader: u64,
}

impl Ticket {
    /// Guard for a file that is sent as the answer to a request; none in a test without a listener.
    pub(super) fn file(request: &HttpRequest, bytes: &Bytes, coding: Coding) -> Option<Self> {
        // A body of one piece is copied to its connection's buffer at once and kept by nobody. Counting its bytes would
        // make all threads wait for one lock with each request.
        if bytes.len() <= PIECE_BYTES {
            return Body::of(request).map(|body| Self { body, _place: None });
        }
        Self::of(request, |sending, connection| match coding {
            Coding::Identity => sending.plain.begin(connection, bytes.as_ptr().addr(), bytes.len()),
            Coding::Gzip | Coding::Brotli => {
                sending.coded.begin(connection, bytes.as_ptr().addr(), bytes.len())
            }
        })
    }

    /// For an answer of GraphQL of so many bytes.
    pub(super) fn answer<T>(request: &HttpRequest, answer: &Arc<T>, bytes: usize) -> Option<Self> {
        Self::of(request, |sending, connection| {
            sending.answers.begin(connection, Arc::as_ptr(answer).addr(), bytes)
        })
    }

    fn of(request: &HttpRequest, begin: impl FnOnce(&Sending, &Arc<Connection>) -> Place) -> Option<Self> {
        let body = Body::of(request)?;
        let sending = request.app_data::<web::Data<Sending>>();
        let place = sending.map(|sending| begin(sending, body.connection()));
        Some(Self { body, _place: place })
    }

    /// Counts bytes that were handed on; false where the reader was cut off.
    pub(super) fn count(&self, bytes: usize) -> bool {
        self.body.count(bytes);
        !self.body.connection().was_cut()
    }
}

impl<const BYTES_MAX: usize> InUse<BYTES_MAX> {
    /// Counts a reader of the buffer that lies there. If the buffer is another one and too much is in use with it, the
    /// readers of the oldest are cut off.
    fn begin(&self, connection: &Arc<Connection>, at: usize, bytes: usize) -> Place {
        let mut buffers = lock(&self.0);
        let known = buffers.all.iter().rev().find(|(_, buffer)| buffer.at == at && buffer.bytes == bytes);
        let number = if let Some((number, _)) = known {
            *number
        } else {
            buffers.make_room(bytes, BYTES_MAX);
            let number = buffers.number();
            buffers.bytes += bytes;
            buffers.all.insert(number, Buffer { at, bytes, readers: BTreeMap::new() });
            number
        };
        let reader = buffers.number();
        if let Some(buffer) = buffers.all.get_mut(&number) {
            buffer.readers.insert(reader, Arc::clone(connection));
        }
        Place { buffers: Arc::clone(&self.0), buffer: number, reader }
    }
}

impl Buffers {
    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn make_room(&mut self, bytes: usize, most: usize) {
        while self.bytes + bytes > most {
            let Some((_, oldest)) = self.all.pop_first() else { return };
            self.bytes -= oldest.bytes;
            for connection in oldest.readers.values() {
                connection.cut(Cut::Old);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut buffers = lock(&self.buffers);
        // It is not there any more if its readers were cut off.
        let Some(buffer) = buffers.all.get_mut(&self.buffer) else { return };
        buffer.readers.remove(&self.reader);
        if buffer.readers.is_empty() {
            let bytes = buffer.bytes;
            buffers.all.remove(&self.buffer);
            buffers.bytes -= bytes;
        }
    }
}

fn lock(buffers: &Mutex<Buffers>) -> MutexGuard<'_, Buffers> {
    buffers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_readers_of_the_oldest_buffer_go_when_a_new_one_has_no_room() {
        let in_use = InUse::<100>::default();
        let readers: Vec<_> = (0..6).map(|_| Connection::idle(Duration::ZERO)).collect();
        let begin = |reader: usize, at: usize, bytes: usize| in_use.begin(&readers[reader], at, bytes);
        let first = [begin(0, 1_000, 40), begin(1, 1_000, 40)];
        let second = begin(2, 2_000, 60);
        assert!(readers.iter().all(|reader| !reader.was_cut()));
        assert_eq!(lock(&in_use.0).bytes, 100, "a buffer counts once, however many read it");
        let third = begin(3, 3_000, 10);
        let cut: Vec<_> = readers.iter().map(|reader| reader.was_cut()).collect();
        assert_eq!(cut, [true, true, false, false, false, false]);
        assert_eq!(lock(&in_use.0).bytes, 70);
        drop(first);
        assert_eq!(lock(&in_use.0).bytes, 70, "it was not counted any more");
        drop((second, third));
        let large = begin(4, 4_000, 500);
        assert!(!readers[4].was_cut(), "a single one is sent whatever its size");
        let small = begin(5, 5_000, 1);
        assert!(readers[4].was_cut() && !readers[5].was_cut());
        drop((large, small));
        let left = lock(&in_use.0);
        assert_eq!((left.bytes, left.all.len()), (0, 0));
    }
}
