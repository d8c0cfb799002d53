//! Requests through a gate, over a pipe in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::{
    super::{
        framing::ChunkScan,
        head_limit::{HEAD_BYTES_MAX, SMALL_HEAD_BYTES},
    },
    *,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
/// Room of the pipe.
const ROOM: usize = 1 << 20;

/// Waker that notes that it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A gated stream, and the other end of its pipe.
struct Pipe {
    stream: GatedStream<DuplexStream>,
    client: DuplexStream,
    flag: Arc<Flag>,
}

impl Pipe {
    fn new() -> Self {
        Self::with(LargeHeads::default(), ROOM)
    }

    fn with(large_heads: LargeHeads, room: usize) -> Self {
        let (server, client) = duplex(room);
        Self { stream: GatedStream::new(server, large_heads), client, flag: Arc::default() }
    }

    // The room suffices, so no write waits. Without a runtime, no poll is held back to let other tasks run.
    fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).now_or_never().unwrap().unwrap();
    }

    fn close(&mut self) {
        self.client.shutdown().now_or_never().unwrap().unwrap();
    }

    /// Bytes that the client has received, 1,000 at most.
    fn received(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 1_000];
        let length = self.client.read(&mut bytes).now_or_never().unwrap().unwrap();
        bytes.truncate(length);
        bytes
    }

    /// Reads like actix: until nothing is there, or an error or the end of the stream, which is true.
    fn read(&mut self) -> io::Result<(Vec<u8>, bool)> {
        self.flag.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.flag));
        let mut context = Context::from_waker(&waker);
        let mut all = Vec::new();
        loop {
            let mut bytes = vec![0; 100_000];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer) {
                Poll::Pending => return Ok((all, false)),
                Poll::Ready(read) => read?,
            }
            if buffer.filled().is_empty() {
                return Ok((all, true));
            }
            all.extend_from_slice(buffer.filled());
        }
    }

    fn passed(&mut self) -> Vec<u8> {
        let (bytes, has_ended) = self.read().unwrap();
        assert!(!has_ended);
        bytes
    }

    fn was_woken(&self) -> bool {
        self.flag.0.load(Ordering::SeqCst)
    }

    /// Begins and ends a request without a body.
    fn answer(&self) {
        self.stream.gate().begin(Phase::Answering);
        self.stream.gate().end();
    }
}

#[test]
fn heads_pass_one_by_one_each_after_the_last_answer() {
    let mut pipe = Pipe::new();
    pipe.send(&GET.repeat(700));
    for _ in 0..700 {
        assert_eq!(pipe.passed(), GET);
        pipe.stream.gate().begin(Phase::Answering);
        assert!(pipe.passed().is_empty());
        assert!(pipe.stream.ahead.len() < AHEAD_BYTES_MAX + READ_BYTES);
        pipe.stream.gate().end();
    }
    assert!(pipe.passed().is_empty());
    assert_eq!(pipe.stream.ahead.capacity(), 0, "nothing waits, so nothing takes memory");
}

#[test]
fn the_answer_that_a_further_request_waits_for_wakes_the_connection() {
    let mut pipe = Pipe::new();
    pipe.send(&GET.repeat(2));
    assert_eq!(pipe.passed(), GET);
    pipe.stream.gate().begin(Phase::Answering);
    assert!(!pipe.was_woken());
    pipe.stream.gate().end();
    assert!(pipe.was_woken());
    assert_eq!(pipe.passed(), GET);
}

#[test]
fn a_body_passes_once_its_request_has_begun_and_ends_where_it_says() {
    let post = b"POST /graphql HTTP/1.1\r\nHost: x\r\n\r\n";
    let cases: [(&[u8], Phase); 2] = [
        (b"{\n\n\r\n}", Phase::Length(6)),
        (b"3\r\n{\n\n\r\n1\r\n}\r\n0\r\n\r\n", Phase::Chunks(ChunkScan::new())),
    ];
    for (body, announced) in cases {
        for piece in [1, 3, 1_000] {
            let mut pipe = Pipe::new();
            let all = [post, body, GET].concat();
            let (mut heads, mut bodies, mut next) = (Vec::new(), Vec::new(), Vec::new());
            for bytes in all.chunks(piece) {
                pipe.send(bytes);
                loop {
                    let phase = pipe.stream.gate().phase();
                    let passed = pipe.passed();
                    match phase {
                        Phase::Head if heads.len() < post.len() => heads.extend_from_slice(&passed),
                        Phase::Head => next.extend_from_slice(&passed),
                        _ => bodies.extend_from_slice(&passed),
                    }
                    match pipe.stream.gate().phase() {
                        Phase::Asked if next.is_empty() => pipe.stream.gate().begin(announced),
                        Phase::Answering => pipe.stream.gate().end(),
                        _ if passed.is_empty() => break,
                        _ => {}
                    }
                }
            }
            assert_eq!((heads.as_slice(), bodies.as_slice(), next.as_slice()), (&post[..], body, GET));
        }
    }
}

#[test]
fn a_body_that_no_handler_takes_is_not_passed_on_before_the_answer() {
    for (announced, passes) in
        [(Phase::Refused, 0), (Phase::Chunks(ChunkScan::new()), BODY_BYTES_MAX + 2 * READ_BYTES)]
    {
        let mut pipe = Pipe::new();
        pipe.send(GET);
        pipe.send(b"ffffff\r\n");
        pipe.send(&[b'x'; 3 * BODY_BYTES_MAX]);
        assert_eq!(pipe.passed(), GET);
        pipe.stream.gate().begin(announced);
        let mut body = 0;
        while let some @ 1.. = pipe.passed().len() {
            body += some;
        }
        assert!(body <= passes && (passes == 0 || body > BODY_BYTES_MAX), "{announced:?}: {body}");
        // actix receives and discards the rest, so that the client reads the answer.
        pipe.stream.gate().end();
        let mut rest = 0;
        while let some @ 1.. = pipe.passed().len() {
            rest += some;
        }
        assert_eq!(body + rest, 8 + 3 * BODY_BYTES_MAX, "{announced:?}");
    }
}

#[test]
fn actix_decodes_after_every_few_kilobytes() {
    let mut pipe = Pipe::new();
    pipe.send(&[GET, &[b'x'; 60_000][..]].concat());
    assert_eq!(pipe.passed(), GET);
    pipe.stream.gate().begin(Phase::Length(60_000));
    let mut all = 0;
    while all < 60_000 {
        let passed = pipe.passed().len();
        assert!((1..2 * READ_BYTES).contains(&passed), "{passed}");
        all += passed;
        assert!(all == 60_000 || pipe.was_woken(), "it is polled again");
    }
}

#[test]
fn a_client_that_leaves_is_noticed_during_an_answer() {
    let mut pipe = Pipe::new();
    pipe.send(GET);
    assert_eq!(pipe.passed(), GET);
    pipe.stream.gate().begin(Phase::Answering);
    pipe.close();
    assert!(pipe.was_woken());
    assert_eq!(pipe.read().unwrap(), (Vec::new(), true));
}

#[test]
fn requests_before_the_end_of_the_client_are_all_passed_on() {
    let mut pipe = Pipe::new();
    pipe.send(&GET.repeat(3));
    pipe.close();
    for _ in 0..2 {
        assert_eq!(pipe.passed(), GET);
        pipe.answer();
    }
    assert_eq!(pipe.read().unwrap(), (GET.to_vec(), true));
}

#[test]
fn the_next_head_waits_until_the_client_reads() {
    let mut pipe = Pipe::with(LargeHeads::default(), 100);
    let waker = Waker::from(Arc::clone(&pipe.flag));
    let write = |pipe: &mut Pipe| {
        Pin::new(&mut pipe.stream).poll_write(&mut Context::from_waker(&waker), &[b'x'; 60])
    };
    assert!(write(&mut pipe).is_ready() && write(&mut pipe).is_ready() && write(&mut pipe).is_pending());
    pipe.send(GET);
    assert!(pipe.passed().is_empty(), "answers wait to be read");
    assert_eq!(pipe.received().len(), 100);
    pipe.flag.0.store(false, Ordering::SeqCst);
    assert!(write(&mut pipe).is_ready() && pipe.was_woken());
    assert_eq!(pipe.passed(), GET);
}

/// Sends the begin of a head to a stream. Returns its answer and its error, or none while it takes more.
fn refusal(pipe: &mut Pipe, bytes: usize) -> Option<(String, String)> {
    pipe.send(b"GET /?");
    pipe.send(&vec![b'x'; bytes]);
    loop {
        match pipe.read() {
            Ok((passed, _)) if passed.is_empty() => return None,
            Ok(_) => {}
            Err(error) => {
                return Some((String::from_utf8_lossy(&pipe.received()).into_owned(), error.to_string()));
            }
        }
    }
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let mut pipe = Pipe::new();
    assert_eq!(refusal(&mut pipe, HEAD_BYTES_MAX - 100), None);
    let (answer, error) = refusal(&mut pipe, 100).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(error, "the head of a request is too large");
}

#[test]
fn a_large_head_takes_a_place_until_its_connection_ends() {
    let large_heads = LargeHeads::with_places(1);
    let mut first = Pipe::with(large_heads.clone(), ROOM);
    assert_eq!(refusal(&mut first, 2 * SMALL_HEAD_BYTES), None);
    first.send(b" HTTP/1.0\r\n\r\n");
    first.passed();
    first.answer();
    assert_eq!(first.read().unwrap(), (Vec::new(), true), "the connection ends with the answer");
    let mut second = Pipe::with(large_heads.clone(), ROOM);
    assert_eq!(refusal(&mut second, SMALL_HEAD_BYTES / 2), None);
    let (answer, error) = refusal(&mut second, SMALL_HEAD_BYTES).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(error, "too many connections have sent a large head");
    drop(first);
    let mut third = Pipe::with(large_heads, ROOM);
    assert_eq!(refusal(&mut third, 2 * SMALL_HEAD_BYTES), None);
}
