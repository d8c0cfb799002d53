//! A server that accepts the log-in, and then stays silent.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use super::*;

/// Authentication that is granted, and a server that is ready for a statement.
const ACCEPTED: [u8; 15] = [b'R', 0, 0, 0, 8, 0, 0, 0, 0, b'Z', 0, 0, 0, 5, b'I'];

/// Accepts a connection and its log-in, then reads without an answer.
fn stay_silent(mut stream: TcpStream) {
    let mut part = [0; 1_024];
    let read = stream.read(&mut part).unwrap_or_default();
    if read > 0 && stream.write_all(&ACCEPTED).is_ok() {
        while stream.read(&mut part).is_ok_and(|read| read > 0) {}
    }
}

#[test]
fn a_server_that_stays_silent_after_the_log_in_ends_a_start_with_69() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let database = format!("postgres://ticker@{}/ticker?sslmode=disable", server.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in server.incoming().flatten() {
            std::thread::spawn(move || stay_silent(stream));
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().to_str().unwrap();
    let ports = ["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0", "--data-dir", data_dir];
    let file = directory.path().join("markets.json");
    for command in [
        vec!["migrate"],
        vec!["start-over", "--yes"],
        vec!["generate", "market-data", "-o", file.to_str().unwrap()],
        [&["serve"][..], &ports].concat(),
    ] {
        let begun = Instant::now();
        let (code, _, log) =
            run(&[&command[..], &["--database-url", &database, "--startup-timeout", "1s"]].concat());
        assert_eq!(code, 69, "{command:?}: {log}");
        assert!(log.contains("the database does not answer"), "{command:?}: {log}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{command:?} took {:?}", begun.elapsed());
    }
}
