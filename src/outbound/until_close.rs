//! Bodies that end with their connection (RFC 9112, section 6.3), for a client that does not know them.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_rt::net::{ActixStream, Ready};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Largest head that is parsed. A longer one is passed on unchanged, for awc to refuse.
const HEAD_BYTES_MAX: usize = 64 * 1_024;
const READ_BYTES: usize = 8 * 1_024;

/// A connection of which awc is the client. awc takes an HTTP/1.1 answer without a length and without chunks for an empty
/// one, but reads one of HTTP/1.0 to the end of its connection. So such an answer is passed on as one of HTTP/1.0.
pub struct UntilClose<Io> {
    io: Io,
    state: State,
}

enum State {
    /// The head of the next answer, as far as it has come.
    Head(BytesMut),
    /// Bytes received behind a head, until they are read; then the connection itself.
    Body(Bytes),
}

impl<Io> UntilClose<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self { io, state: State::Head(BytesMut::new()) }
    }
}

impl<Io: AsyncRead + Unpin> UntilClose<Io> {
    /// Reads until a head is whole. At the end of the connection, and of the bound, what came is passed on.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let State::Head(head) = &mut self.state {
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            // The end of a head may be cut: look again at the last bytes that came before.
            let from = head.len().saturating_sub(HEAD_END.len());
            head.extend_from_slice(read.filled());
            let end = head
                .get(from..)
                .and_then(|new| new.windows(HEAD_END.len()).position(|window| window == HEAD_END));
            if let Some(end) = end {
                let end = from.saturating_add(end);
                if head.get(..end).is_some_and(ends_with_connection) {
                    head.iter_mut().skip(MINOR_VERSION_AT).take(1).for_each(|minor| *minor = b'0');
                }
            } else if !read.filled().is_empty() && head.len() < HEAD_BYTES_MAX {
                continue;
            }
            self.state = State::Body(std::mem::take(head).freeze());
        }
        Poll::Ready(Ok(()))
    }
}

const HEAD_END: &[u8] = b"\r\n\r\n";
const HTTP_1_1: &[u8] = b"HTTP/1.1 ";
/// Index of the minor version in [`HTTP_1_1`].
const MINOR_VERSION_AT: usize = 7;

/// Returns true if the body behind this head ends with the connection.
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
            State::Body(rest) if !rest.is_empty() => {
                let part = rest.split_to(rest.remaining().min(buffer.remaining()));
                buffer.put_slice(&part);
                Poll::Ready(Ok(()))
            }
            _ => Pin::new(&mut self.io).poll_read(cx, buffer),
        }
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for UntilClose<Io> {
    /// A request: what comes next is the head of an answer.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if matches!(&self.state, State::Body(rest) if rest.is_empty()) {
            self.state = State::Head(BytesMut::new());
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

/// Only actix's servers ask for this; a client simply tries.
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Returns the text that a client reads of answers sent in pieces of some size, each after a request.
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
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "and the end of the connection is passed on");
        server.await.unwrap();
        read
    }

    #[tokio::test]
    async fn only_an_answer_whose_end_the_connection_tells_becomes_one_of_http_1_0() {
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
                // On a connection that is used again each answer is looked at.
                let read = passed_on(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", without], piece).await;
                assert_eq!(read[1], without.replacen("1.1", "1.0", 1));
            }
        }
        for piece in [1, 3, 1_000] {
            assert_eq!(passed_on(&[without], piece).await, [without.replacen("1.1", "1.0", 1)]);
        }
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_passed_on_from_the_bound_on() {
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(3 * HEAD_BYTES_MAX));
        assert_eq!(passed_on(&[&endless], 10_000).await, [endless.as_str()]);
    }
}
