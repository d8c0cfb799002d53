//! A connection that notes whether its server was silent.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::PassedOver;

/// Connection that records its server as silent when it is dropped, if the server sent nothing until then. A frozen
/// process accepts connections and sends nothing.
pub(super) struct Watched {
    stream: TcpStream,
    /// Address of the server, until it sends something, closes the connection or breaks it.
    silent: Option<SocketAddr>,
    passed_over: Arc<PassedOver<SocketAddr>>,
}

impl Watched {
    /// Watches a new connection.
    pub(super) fn new(stream: TcpStream, passed_over: Arc<PassedOver<SocketAddr>>) -> Self {
        let silent = stream.peer_addr().ok();
        Self { stream, silent, passed_over }
    }

    /// A connection that breaks was refused, and its server is not silent.
    fn note_break(&mut self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Err(_))) {
            self.silent = None;
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(address) = self.silent {
            self.passed_over.was_silent(address);
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.silent = None;
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_break(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.note_break(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
