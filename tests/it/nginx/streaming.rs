//! Connections that stay open for events, and those that ask for another protocol, with a stand-in for the daemon.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use crate::support::{
    DEADLINE,
    nginx::{Nginx, conf},
    postgres::open_tempdir,
};

fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

fn four(stream: &mut TcpStream) -> [u8; 4] {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// nginx in front of `serve`, which gets each connection in a thread of its own.
fn nginx(serve: fn(TcpStream)) -> Nginx {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream: SocketAddr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream));
        }
    });
    Nginx::start(&conf(), upstream, open_tempdir().path())
}

fn connect(nginx: &Nginx, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(nginx.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

const UPGRADE: &str = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n";

#[test]
fn no_connection_is_upgraded() {
    let nginx = nginx(|mut stream| {
        let asked = head(&mut stream).to_ascii_lowercase();
        assert!(!asked.contains("\r\nupgrade:") && !asked.contains("\r\nconnection:"), "{asked}");
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    // HTTP/2 without TLS, by which requests could be smuggled past nginx, among others. The daemon has no WebSocket.
    for kind in ["websocket", "WebSocket", "h2c", "websocket2", "x, websocket"] {
        let upgrade = UPGRADE.replace("Upgrade: websocket", &format!("Upgrade: {kind}"));
        for path in ["/graphql/ws", "/graphql", "/api/v1/anything"] {
            let mut stream = connect(&nginx, &format!("GET {path} HTTP/1.1\r\n{upgrade}"));
            assert!(head(&mut stream).starts_with("HTTP/1.1 404"), "{kind} {path}");
        }
    }
}

#[test]
fn events_are_passed_on_while_the_stream_is_open_where_the_daemon_says_so() {
    let nginx = nginx(|mut stream| {
        head(&mut stream);
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n\r\n:1\n\n";
        stream.write_all(answer.as_bytes()).unwrap();
        // Open for as long as the reader is.
        let _ = stream.read(&mut [0]);
    });
    for path in ["/api/v1/stream", "/a/path/that/comes/later"] {
        let mut stream = connect(&nginx, &format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n"));
        assert!(head(&mut stream).contains("text/event-stream"));
        assert_eq!(&four(&mut stream), b":1\n\n");
    }
}
