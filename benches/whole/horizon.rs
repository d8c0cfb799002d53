//! A Horizon with only pages of trades, rendered beforehand so that its own work is not measured. Its stream is silent,
//! and it has no assets and no books.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, OnceLock},
    time::Instant,
};

use stellar_ticker::domain::{cursor::PagingToken, instant::UnixSeconds};

use super::synthetic::{self, Synthetic};

/// Passphrase of its network.
pub(crate) const PASSPHRASE: &str = "Bench Network";

/// Bytes of the stream: its head and its first event. Nothing follows.
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
    retry: 1000\nevent: open\ndata: \"hello\"\n\n";
const NOT_NOW: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

/// All records, from new to old, with a comma between two.
pub(crate) struct Rendered {
    bytes: Vec<u8>,
    /// Offset and token of each record.
    places: Vec<(usize, PagingToken)>,
    root: String,
    /// Time of the first request for a page, set by the server.
    first_request: Arc<OnceLock<Instant>>,
}

impl Rendered {
    pub(crate) fn of(synthetic: &Synthetic) -> Self {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        let mut closed_at = (UnixSeconds(0), String::new());
        for number in (0..synthetic.trades).rev() {
            let record = synthetic.make(number).record;
            if closed_at.0 != record.closed_at {
                closed_at = (record.closed_at, record.closed_at.to_rfc3339());
            }
            places.push((bytes.len(), record.token));
            synthetic::render(&mut bytes, &record, &closed_at.1);
            bytes.push(b',');
        }
        let ledger = |number| synthetic.make(number).record.token.ledger();
        let root = format!(
            r#"{{"network_passphrase":"{PASSPHRASE}","history_latest_ledger":{},"history_elder_ledger":{}}}"#,
            ledger(synthetic.trades - 1),
            ledger(0),
        );
        Self { bytes, places, root, first_request: Arc::default() }
    }

    /// Returns where the server notes the time of the first request for a page.
    pub(crate) fn first_request(&self) -> Arc<OnceLock<Instant>> {
        Arc::clone(&self.first_request)
    }

    /// Returns at most `limit` records below a cursor.
    fn page(&self, cursor: Option<PagingToken>, limit: usize) -> &[u8] {
        let from = cursor.map_or(0, |cursor| self.places.partition_point(|(_, token)| *token >= cursor));
        let at = |place: usize| self.places.get(place).map_or(self.bytes.len(), |(at, _)| *at);
        let page = self.bytes.get(at(from)..at(from + limit)).unwrap_or_default();
        page.strip_suffix(b",").unwrap_or(page)
    }

    /// Returns at most `limit` records above a cursor, from old to new: the backfiller asks for the oldest ones at the
    /// end.
    fn ascending_page(&self, cursor: PagingToken, limit: usize) -> Vec<u8> {
        let to = self.places.partition_point(|(_, token)| *token > cursor);
        let at = |place: usize| self.places.get(place).map_or(self.bytes.len(), |(at, _)| *at);
        let records: Vec<u8> = (to.saturating_sub(limit)..to)
            .rev()
            .flat_map(|place| self.bytes.get(at(place)..at(place + 1)).unwrap_or_default())
            .copied()
            .collect();
        records.strip_suffix(b",").map_or_else(Vec::new, <[u8]>::to_vec)
    }

    /// Starts serving, until the process ends.
    pub(crate) fn serve(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(self);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let _ = shared.answer_all(&connection); // Fails when the client closes the connection.
                });
            }
        });
        address
    }

    fn answer_all(&self, connection: &TcpStream) -> std::io::Result<()> {
        connection.set_nodelay(true)?;
        let mut lines = BufReader::new(connection.try_clone()?).lines();
        while let Some(request) = lines.next().transpose()? {
            let mut is_stream = false;
            while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
                is_stream |= line.ends_with("text/event-stream");
            }
            if is_stream {
                (&*connection).write_all(STREAM)?;
                continue; // The stream stays open until the client closes the connection.
            }
            let target = request.split(' ').nth(1).unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let parameter =
                |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            let ascending;
            let (front, middle, back): (&str, &[u8], &str) = match path {
                "/" => ("", self.root.as_bytes(), ""),
                "/assets" | "/order_book" => {
                    (&*connection).write_all(NOT_NOW)?;
                    continue;
                }
                _ => {
                    self.first_request.get_or_init(Instant::now);
                    let cursor = parameter("cursor").and_then(|text| text.parse().ok());
                    let limit = parameter("limit").and_then(|text| text.parse().ok()).unwrap_or(10);
                    let records = match cursor.filter(|_| parameter("order") == Some("asc")) {
                        Some(cursor) => {
                            ascending = self.ascending_page(cursor, limit);
                            &ascending
                        }
                        None => self.page(cursor, limit),
                    };
                    (r#"{"_embedded":{"records":["#, records, "]}}")
                }
            };
            let length = front.len() + middle.len() + back.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{front}"
            );
            let mut connection = connection;
            connection.write_all(head.as_bytes())?;
            connection.write_all(middle)?;
            connection.write_all(back.as_bytes())?;
        }
        Ok(())
    }
}
