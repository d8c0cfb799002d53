//! A connection that notes whether its server was silent.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::PassedOver;

/// Guard of a connection. Records its server as silent when it is dropped, if the server still owes an answer then.
/// A frozen process accepts connections and sends nothing.
#[derive(Debug)]
pub struct SilenceGuard {
    /// Address of the server; none if it is unknown.
    server: Option<SocketAddr>,
    /// True until the server sends something, closes the connection or breaks it.
    is_silent: bool,
    passed_over: Arc<PassedOver<SocketAddr>>,
}

impl SilenceGuard {
    /// Guards a new connection, on which the server has sent nothing yet.
    #[must_use]
    pub const fn new(server: Option<SocketAddr>, passed_over: Arc<PassedOver<SocketAddr>>) -> Self {
        Self { server, is_silent: true, passed_over }
    }

    /// Records that the server answered or refused.
    pub fn note_answer(&mut self) {
        // An answer arrives in many parts, and the first one tells.
        let is_first = std::mem::take(&mut self.is_silent);
        if let Some(server) = self.server.filter(|_| is_first) {
            self.passed_over.answered(&server);
        }
    }

    /// Records the outcome of writing. A connection that breaks was refused, and its server is not silent.
    fn note_write(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(written) = written {
            self.is_silent = written.is_ok();
        }
    }
}

impl Drop for SilenceGuard {
    fn drop(&mut self) {
        if let Some(server) = self.server.filter(|_| self.is_silent) {
            self.passed_over.was_silent(server);
        }
    }
}

/// Connection that is watched for an answer to what was written last. It must carry the requests themselves: below
/// TLS, the bytes of the handshake and of its end would look like answers and requests.
#[derive(Debug)]
pub struct Watched<Io> {
    io: Io,
    guard: SilenceGuard,
}

impl<Io> Watched<Io> {
    /// Watches a connection with its guard.
    #[must_use]
    pub const fn new(io: Io, guard: SilenceGuard) -> Self {
        Self { io, guard }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Watched<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if read.is_ready() {
            self.guard.note_answer();
        }
        read
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Watched<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.guard.note_write(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, parts);
        self.guard.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{super::passed_over::PASSED_OVER_FOR, *};

    #[tokio::test]
    async fn a_server_is_silent_if_it_owes_an_answer_to_the_last_request() {
        let server = SocketAddr::from(([1, 1, 1, 1], 1));
        for (requests, answers, is_silent) in
            [(0, 0, true), (1, 0, true), (1, 1, false), (2, 1, true), (2, 2, false)]
        {
            let passed_over = Arc::new(PassedOver::default());
            let (near, mut far) = tokio::io::duplex(64);
            let mut client = Watched::new(near, SilenceGuard::new(Some(server), Arc::clone(&passed_over)));
            for request in 0..requests {
                client.write_all(b"?").await.unwrap();
                if request < answers {
                    far.write_all(b"!").await.unwrap();
                    client.read_exact(&mut [0; 1]).await.unwrap();
                }
            }
            assert!(!passed_over.contains(&server), "as long as somebody waits");
            drop(client);
            assert_eq!(passed_over.contains(&server), is_silent, "{requests} requests, {answers} answers");
        }
    }

    #[tokio::test]
    async fn a_server_that_refuses_is_not_silent() {
        let server = SocketAddr::from(([1, 1, 1, 1], 1));
        let passed_over = Arc::new(PassedOver::default());
        let (near, far) = tokio::io::duplex(64);
        let mut client = Watched::new(near, SilenceGuard::new(Some(server), Arc::clone(&passed_over)));
        client.write_all(b"?").await.unwrap();
        drop(far);
        assert!(client.write_all(b"?").await.is_err());
        drop(client);
        assert!(!passed_over.contains(&server));
    }

    #[test]
    fn an_answer_ends_the_doubling() {
        let server = SocketAddr::from(([1, 1, 1, 1], 1));
        let passed_over = Arc::new(PassedOver::default());
        for _ in 0..2 {
            passed_over.was_silent(server);
            passed_over.pass(PASSED_OVER_FOR);
        }
        assert!(passed_over.contains(&server));
        SilenceGuard::new(Some(server), Arc::clone(&passed_over)).note_answer();
        assert!(!passed_over.contains(&server));
        passed_over.was_silent(server);
        assert!(passed_over.contains(&server));
        passed_over.pass(PASSED_OVER_FOR);
        assert!(!passed_over.contains(&server));
    }
}
