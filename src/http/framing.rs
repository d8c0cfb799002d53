//! Ends of heads and of chunked bodies in the bytes of a request. Pure.
//!
//! They find the same ends as actix's decoder. It refuses a malformed request, so for that any end is good enough.

/// Largest size of a chunk that actix accepts, before its next digit.
const CHUNK_SIZE_MAX: u64 = u64::MAX >> 4;

/// Place in the head of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum HeadScan {
    /// Before the request line. Empty lines may precede it.
    #[default]
    Start,
    InLine,
    /// Behind the end of a line.
    LineFeed,
    /// Behind the end of a line, and a carriage return.
    Return,
}

impl HeadScan {
    /// Reads bytes of a head. Returns how many there are up to its end, or none if it goes on.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (place, byte) in bytes.iter().enumerate() {
            *self = match (*self, byte) {
                (Self::Start, b'\r' | b'\n') => Self::Start,
                (Self::LineFeed | Self::Return, b'\n') => {
                    *self = Self::Start;
                    return Some(place.saturating_add(1));
                }
                (Self::LineFeed, b'\r') => Self::Return,
                (_, b'\n') => Self::LineFeed,
                _ => Self::InLine,
            };
        }
        None
    }
}

/// Place in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkScan {
    state: ChunkState,
    /// Bytes of the current chunk that are left, or the digits of its size so far.
    size: u64,
    /// Bytes of data in all chunks so far.
    data: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// First digit of a size.
    FirstDigit,
    Size,
    /// Spaces behind a size.
    Space,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    /// Begin of a line behind the last chunk: of a trailer, or the empty one that ends the body.
    LastLine,
    Trailer,
    TrailerLineFeed,
    EndLineFeed,
    End,
}

impl ChunkScan {
    pub(super) const fn new() -> Self {
        Self { state: ChunkState::FirstDigit, size: 0, data: 0 }
    }

    /// Returns the bytes of data in all chunks so far.
    pub(super) const fn data(&self) -> u64 {
        self.data
    }

    /// Reads bytes of the body. Returns how many there are up to its end, or none if it goes on. A malformed body ends
    /// with its first wrong byte.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut place = 0;
        while let Some(byte) = bytes.get(place) {
            if self.state == ChunkState::Data {
                let left = u64::try_from(bytes.len().saturating_sub(place)).unwrap_or(u64::MAX);
                let taken = left.min(self.size);
                self.size = self.size.saturating_sub(taken);
                self.data = self.data.saturating_add(taken);
                if self.size == 0 {
                    self.state = ChunkState::DataReturn;
                }
                place = place.saturating_add(usize::try_from(taken).unwrap_or(usize::MAX));
                continue;
            }
            self.state = self.after(*byte);
            place = place.saturating_add(1);
            if self.state == ChunkState::End {
                return Some(place);
            }
        }
        None
    }

    /// Returns the state after a byte outside of the data.
    fn after(&mut self, byte: u8) -> ChunkState {
        use ChunkState::{
            Data, DataLineFeed, DataReturn, End, EndLineFeed, Extension, FirstDigit, LastLine, Size,
            SizeLineFeed, Space, Trailer, TrailerLineFeed,
        };
        match (self.state, byte) {
            (FirstDigit | Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                if self.state == FirstDigit {
                    self.size = 0;
                }
                if self.size > CHUNK_SIZE_MAX {
                    return End;
                }
                self.size = (self.size << 4) | u64::from(digit);
                Size
            }
            (Size | Space, b'\t' | b' ') => Space,
            (Size | Space, b';') => Extension,
            (Size | Space | Extension, b'\r') => SizeLineFeed,
            (Extension, 0x00..=0x08 | 0x0a..=0x1f | 0x7f) => End,
            (Extension, _) => Extension,
            (SizeLineFeed, b'\n') if self.size > 0 => Data,
            (SizeLineFeed | TrailerLineFeed, b'\n') => LastLine,
            (DataReturn, b'\r') => DataLineFeed,
            (DataLineFeed, b'\n') => FirstDigit,
            (LastLine, b'\r') => EndLineFeed,
            (Trailer, b'\r') => TrailerLineFeed,
            (LastLine | Trailer, _) => Trailer,
            _ => End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends that `end` finds if the bytes come in pieces of each size.
    fn ends(bytes: &str, end: impl Fn() -> Box<dyn FnMut(&[u8]) -> Option<usize>>) -> Option<usize> {
        let find = |size: usize| {
            let mut end = end();
            let mut before = 0;
            for piece in bytes.as_bytes().chunks(size) {
                if let Some(place) = end(piece) {
                    return Some(before + place);
                }
                before += piece.len();
            }
            None
        };
        let whole = find(bytes.len().max(1));
        for size in 1..bytes.len() {
            assert_eq!(find(size), whole, "pieces of {size}: {bytes:?}");
        }
        whole
    }

    fn head_end(bytes: &str) -> Option<usize> {
        ends(bytes, || {
            let mut scan = HeadScan::default();
            Box::new(move |bytes| scan.end(bytes))
        })
    }

    fn body_end(bytes: &str) -> Option<usize> {
        ends(bytes, || {
            let mut scan = ChunkScan::new();
            Box::new(move |bytes| scan.end(bytes))
        })
    }

    #[test]
    fn a_head_ends_with_its_first_empty_line() {
        for head in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0\n\n",
            "GET / HTTP/1.0\r\n\n",
            "GET / HTTP/1.0\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX:\r\n\r\n",
            "\r\n\n\r\nGET / HTTP/1.0\r\n\r\n",
        ] {
            assert_eq!(head_end(&format!("{head}GET / HTTP/1.0\r\n\r\n")), Some(head.len()), "{head:?}");
            assert_eq!(head_end(&head[..head.len() - 1]), None, "{head:?}");
        }
        assert_eq!(head_end("\r\n\r\n\n\n"), None, "no head has begun");
    }

    #[test]
    fn the_next_head_begins_behind_the_end_of_one() {
        let mut scan = HeadScan::default();
        assert_eq!(scan.end(b"GET / HTTP/1.0\n\n\nGET"), Some(16));
        assert_eq!(scan.end(b"\nGET / HTTP/1.0\n\n"), Some(17));
    }

    #[test]
    fn a_chunked_body_ends_behind_its_last_chunk_and_its_trailers() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "1A ;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n00\r\nX: y\r\nZ: 0\r\n\r\n",
            "4\t\r\n\r\n\r\n\r\n0\r\n\r\n",
        ] {
            assert_eq!(body_end(&format!("{body}GET / HTTP/1.0\r\n\r\n")), Some(body.len()), "{body:?}");
            assert_eq!(body_end(&body[..body.len() - 1]), None, "{body:?}");
        }
    }

    #[test]
    fn a_malformed_chunked_body_ends_with_its_first_wrong_byte() {
        for (begin, wrong) in [
            ("", "x"),
            ("1", "x"),
            ("1 ", "2"),
            ("1\r", "x"),
            ("1;a", "\n"),
            ("1\r\na", "b"),
            ("1\r\na\r", "b"),
            ("0\r\n\r", "x"),
            ("0\r\nX: y\r", "Z"),
            ("ffffffffffffffff", "0"),
        ] {
            assert_eq!(body_end(&format!("{begin}{wrong}GET")), Some(begin.len() + 1), "{begin:?} {wrong:?}");
        }
    }

    #[test]
    fn only_the_data_of_chunks_is_counted() {
        let mut scan = ChunkScan::new();
        assert_eq!(scan.end(b"1\r\na\r\n3;x\r\nbcd\r\n4\r\nef"), None);
        assert_eq!(scan.data(), 6);
    }
}
