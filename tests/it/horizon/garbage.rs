//! Answers that are no answers: each is a failed request, ends by itself, and leads nowhere else.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::*;

#[test]
fn redirects_garbage_and_endless_heads_are_failed_requests_and_the_next_answer_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = [
        format!("HTTP/1.1 302 Found\r\nLocation: {url}/\r\nContent-Length: 0\r\n\r\n"),
        "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://127.0.0.2/\r\nContent-Length: 0\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n{}\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 2\r\n\r\n{{}}", "x".repeat(1_000_000)),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}".to_owned(),
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
    ];
    let (wrong, asked) = (answers.len(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        let good = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{ROOT}", ROOT.len());
        for (mut stream, answer) in listener.incoming().flatten().zip(answers.into_iter().chain([good])) {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    System::new().block_on(async {
        let settings = HorizonSettings { url, ca_file: None, stream_idle_timeout: Duration::from_secs(5) };
        let client = HorizonClient::new(settings, RateLimiter::new(0)).unwrap();
        for index in 0..wrong {
            let error = client.root().await.unwrap_err();
            assert_eq!(matches!(error, HorizonError::Redirect { .. }), index < 2, "{index}: {error}");
            assert!(error.is_transient(), "{index}: {error}");
        }
        assert_eq!(client.root().await.unwrap().network_passphrase, "Tea");
        assert_eq!(asked.load(Ordering::SeqCst), wrong + 1, "no redirect is followed");
    });
}
