//! HTTP client that sends one request after the other on one connection.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use serde_json::json;

/// Returns a request for a compressed file.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: gzip\r\n\r\n").into_bytes()
}

/// Returns a request for a compressed file, unless it still has this entity tag.
pub(crate) fn get_if_changed(path: &str, etag: &str) -> Vec<u8> {
    let head = "Host: bench\r\nAccept-Encoding: gzip";
    format!("GET {path} HTTP/1.1\r\n{head}\r\nIf-None-Match: {etag}\r\n\r\n").into_bytes()
}

/// Returns a request to GraphQL for a compressed answer.
pub(crate) fn post(query: &str) -> Vec<u8> {
    let body = json!({"query": query}).to_string();
    let head =
        "POST /graphql HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: gzip\r\nContent-Type: application/json";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A connection that stays open.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::with_capacity(256 * 1024, stream))
    }
}

/// Answer to a request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: String,
    /// Time of the publication that the answer is from; empty if the answer is from none.
    pub(crate) as_of: String,
    pub(crate) body: Vec<u8>,
}

/// Sends a request and reads the whole answer.
pub(crate) fn exchange(connection: &mut Connection, request: &[u8]) -> Answer {
    let reader = &mut connection.0;
    reader.get_mut().write_all(request).unwrap();
    let (mut line, mut status, mut length) = (String::new(), 0, 0_usize);
    let [mut etag, mut as_of] = [String::new(), String::new()];
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let text = line.trim_end().to_ascii_lowercase();
        if let (true, Some((_, tag))) = (text.starts_with("etag: "), line.trim_end().split_once(' ')) {
            tag.clone_into(&mut etag);
        }
        if let Some(rest) = text.strip_prefix("http/1.1 ") {
            status = rest.get(..3).unwrap().parse().unwrap();
        } else if let Some(rest) = text.strip_prefix("x-ticker-as-of: ") {
            rest.clone_into(&mut as_of);
        } else if let Some(rest) = text.strip_prefix("content-length: ") {
            length = rest.parse().unwrap();
        } else if text.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Answer { status, etag, as_of, body }
}
