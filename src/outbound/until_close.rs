//! Support for bodies that end with their connection (RFC 9112, section 6.3), which awc does not read.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_rt::net::{ActixStream, Ready};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Largest response head to parse. A longer one is passed on unchanged, and awc rejects it.
const HEAD_BYTES_MAX: usize = 64 * 1_024;
const READ_BYTES: usize = 8 * 1_024;

/// Connection for awc as the client.
///
/// awc takes an HTTP/1.1 response without a length and without chunks for an empty one. It reads an HTTP/1.0 response
/// to the end of the connection. So such a response is passed on as HTTP/1.0.
pub struct UntilClose<Io> {
    io: Io,
    state: ReadState,
}

enum ReadState {
    /// Head of the next response, as far as received.
    Head(BytesMut),
    /// Bytes received after a head. Once they are consumed, reads go to the connection.
    Body(Bytes),
}

impl<Io> UntilClose<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self { io, state: ReadState::Head(BytesMut::new()) }
    }
}

impl<Io: AsyncRead + Unpin> UntilClose<Io> {
    /// Reads until a head is complete. At the end of the connection, or at the limit, passes on what was received.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let ReadState::Head(head) = &mut self.state {
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            // The end marker may be split between reads: search the last bytes again.
            let from = head.len().saturating_sub(HEAD_END_BYTES_MAX);
            head.extend_from_slice(read.filled());
            if let Some(end) = head.get(from..).and_then(end_of_head) {
                let end = from.saturating_add(end);
                if head.get(..end).is_some_and(ends_with_connection) {
                    head.iter_mut().skip(MINOR_VERSION_AT).take(1).for_each(|minor| *minor = b'0');
                }
            } else if !read.filled().is_empty() && head.len() < HEAD_BYTES_MAX {
                continue;
            }
            self.state = ReadState::Body(std::mem::take(head).freeze());
        }
        Poll::Ready(Ok(()))
    }
}

/// Length of the longest end marker, before its last byte.
const HEAD_END_BYTES_MAX: usize = 2;
const HTTP_1_1: &[u8] = b"HTTP/1.1 ";
/// Index of the minor version in [`HTTP_1_1`].
const MINOR_VERSION_AT: usize = 7;

/// Returns the place of the empty line that ends a head. Like awc's parser, it takes lines that end with LF alone.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let is_end = |place: &usize| {
        let rest = bytes.get(*place..).unwrap_or_default();
        rest.starts_with(b"\n\n") || rest.starts_with(b"\n\r\n")
    };
    (0..bytes.len()).find(is_end)
}

/// Returns true if the body after this head ends with the connection.
fn ends_with_connection(head: &[u8]) -> bool {
    let Some(status) = head.strip_prefix(HTTP_1_1).and_then(|rest| rest.get(..3)) else { return false };
    let has_body = matches!(status, [b'2'..=b'5', ..]) && !matches!(status, b"204" | b"304");
    let names =
        head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| line.split(|byte| *byte == b':').next());
    let is_framing = |name: &[u8]| {
        let name = name.trim_ascii();
        name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
    };
    has_body && !names.into_iter().any(is_framing)
}

impl<Io: AsyncRead + Unpin> AsyncRead for UntilClose<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_head(cx))?;
        match &mut self.state {
            ReadState::Body(rest) if !rest.is_empty() => {
                let part = rest.split_to(rest.remaining().min(buffer.remaining()));
                buffer.put_slice(&part);
                Poll::Ready(Ok(()))
            }
            _ => Pin::new(&mut self.io).poll_read(cx, buffer),
        }
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for UntilClose<Io> {
    /// Writes a request. The next bytes to read are then the head of its response.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Only after the last response is consumed does a write start a new request.
        if matches!(&self.state, ReadState::Body(rest) if rest.is_empty()) {
            self.state = ReadState::Head(BytesMut::new());
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<Io> fmt::Debug for UntilClose<Io> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("UntilClose").finish_non_exhaustive()
    }
}

/// Only actix's servers poll for readiness. A client simply tries.
impl<Io: AsyncRead + AsyncWrite + Unpin> ActixStream for UntilClose<Io> {
    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::ALL))
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::ALL))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Reads responses sent in pieces of the given size, each after a request. Returns the text that a client sees.
    async fn passed_on(answers: &[&str], piece: usize) -> Vec<String> {
        let (near, mut far) = tokio::io::duplex(piece);
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let lengths: Vec<usize> = answers.iter().map(String::len).collect();
        let server = tokio::spawn(async move {
            for answer in answers {
                far.read_exact(&mut [0; 1]).await.unwrap();
                far.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let mut client = UntilClose::new(near);
        let mut read = Vec::new();
        for length in lengths {
            client.write_all(b"?").await.unwrap();
            let mut answer = vec![0; length];
            client.read_exact(&mut answer).await.unwrap();
            read.push(String::from_utf8(answer).unwrap());
        }
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "the end of the connection is passed on");
        server.await.unwrap();
        read
    }

    #[tokio::test]
    async fn only_responses_that_end_with_the_connection_become_http_1_0() {
        let without = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nbody HTTP/1.1 200 OK\r\n\r\n";
        for kept in [
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
            "HTTP/1.1 200 OK\r\nA: b\r\nTRANSFER-ENCODING : chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\nbody",
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno end of a head",
        ] {
            for piece in [1, 3, 1_000] {
                assert_eq!(passed_on(&[kept], piece).await, [kept], "{piece}");
                // Every response on a reused connection is checked.
                let read = passed_on(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", without], piece).await;
                assert_eq!(read[1], without.replacen("1.1", "1.0", 1));
            }
        }
        for piece in [1, 3, 1_000] {
            assert_eq!(passed_on(&[without], piece).await, [without.replacen("1.1", "1.0", 1)]);
        }
    }

    /// httparse, which awc uses, takes lines that end with LF alone.
    #[tokio::test]
    async fn a_head_with_bare_line_feeds_ends_although_the_connection_stays_open() {
        for end in ["\n\n", "\n\r\n", "\r\n\n"] {
            for (head, length) in [("Content-Length: 4", true), ("A: b", false)] {
                let answer = format!("HTTP/1.1 200 OK\n{head}{end}body");
                let (near, mut far) = tokio::io::duplex(1_000);
                far.write_all(answer.as_bytes()).await.unwrap();
                let mut client = UntilClose::new(near);
                let mut read = vec![0; answer.len()];
                let reading =
                    tokio::time::timeout(Duration::from_secs(20), client.read_exact(&mut read)).await;
                reading.expect("the head is passed on at once").unwrap();
                let expected = if length { answer.clone() } else { answer.replacen("1.1", "1.0", 1) };
                assert_eq!(String::from_utf8(read).unwrap(), expected);
                drop(far);
            }
        }
    }

    #[tokio::test]
    async fn passes_on_an_endless_head_from_the_limit_on() {
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(3 * HEAD_BYTES_MAX));
        assert_eq!(passed_on(&[&endless], 10_000).await, [endless.as_str()]);
    }
}
