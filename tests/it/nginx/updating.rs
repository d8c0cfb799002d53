//! A cached answer that nginx is updating: readers get it until the daemon has answered.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
};

use crate::support::{
    nginx::{Nginx, conf_with},
    postgres::open_tempdir,
    wait_until,
};

/// Starts a stand-in for the daemon. It answers the first request at once, and each later one after a word of the test.
/// Returns its address, the number of requests that it has received, and the sender of that word.
fn stand_in() -> (SocketAddr, Arc<AtomicUsize>, Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::new(AtomicUsize::new(0));
    let (release, released) = channel();
    let count = Arc::clone(&received);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            answer(stream, &count, &released);
        }
    });
    (address, received, release)
}

fn answer(mut stream: TcpStream, received: &AtomicUsize, released: &Receiver<()>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        request.push(byte[0]);
    }
    let number = received.fetch_add(1, Ordering::SeqCst) + 1;
    if number > 1 && released.recv().is_err() {
        return;
    }
    let head =
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nCache-Control: max-age=1\r\nConnection: close\r\n\r\n";
    // nginx closes the connection at the end of the test.
    let _ = write!(stream, "{head}{number}");
}

#[test]
fn while_one_reader_waits_for_the_daemon_the_others_get_the_cached_answer() {
    let (address, received, release) = stand_in();
    let www = open_tempdir();
    // The answer expires by its age alone, and the daemon may take as long as the test needs.
    let conf = conf_with(&[("|$minute\"", "\""), (" proxy_read_timeout 2s", " proxy_read_timeout 1h")]);
    let nginx = Nginx::start(&conf, address, www.path());
    let get = || {
        let answer = nginx.get("/markets.json");
        (answer.header("X-Cache").unwrap().to_owned(), answer.body)
    };
    assert_eq!(get(), ("MISS".to_owned(), b"1".to_vec()));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            // Until the answer has expired; that request goes to the daemon.
            loop {
                let answer = get();
                if answer.0 != "HIT" {
                    return answer;
                }
            }
        });
        wait_until("a request waits for the daemon", || received.load(Ordering::SeqCst) == 2);
        for _ in 0..3 {
            assert_eq!(get(), ("UPDATING".to_owned(), b"1".to_vec()));
        }
        assert_eq!(received.load(Ordering::SeqCst), 2, "no other request reached the daemon");
        release.send(()).unwrap();
        assert_eq!(waiting.join().unwrap(), ("EXPIRED".to_owned(), b"2".to_vec()));
    });
}
