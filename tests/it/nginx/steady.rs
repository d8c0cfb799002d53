//! Readers behind nginx that read a large file slowly and steadily, in front of the real daemon.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

use super::serving::{accept, unpacked};
use crate::support::{
    DEADLINE,
    daemon::Daemon,
    figure,
    network::{PASSPHRASE, block_on},
    nginx::{Nginx, assert_well_formed, conf_with},
    wait_until,
    wide::wide_database,
};

/// Markets for which `markets.json` takes some 12 MB, which is more than all buffers on the way to a reader.
const MARKETS: u32 = 12_000;
const SLOW: usize = 3;
/// Publications through which the others read.
const PUBLICATIONS: usize = 4;
/// Upper bound of the requests of a slow reader.
const ANSWERS_MAX: usize = 1_000;
/// Answers that the others get at least.
const ANSWERS: usize = 12;

/// Reads 25 KB ten times a second until the others are done, and the rest at once; asks again after each answer. Says
/// how many answers it got, all of them whole. The kernel's buffer between nginx and a reader on the same machine takes
/// megabytes: at this pace both nginx and the daemon see it move every few seconds.
fn read_steadily(address: SocketAddr, begun: &AtomicBool, is_over: &AtomicBool) -> usize {
    for answers in 1..=ANSWERS_MAX {
        let mut stream = TcpStream::connect(address).unwrap();
        setsockopt(&stream, RcvBuf, &65_536).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET /markets.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let (mut bytes, mut more) = (Vec::new(), 1);
        while more > 0 {
            more = (&mut stream).take(25_000).read_to_end(&mut bytes).expect("it is not cut off");
            begun.store(true, Ordering::SeqCst);
            if !is_over.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(100));
            }
        }
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        assert_eq!(length.parse(), Ok(bytes.len() - end - 4), "slow, steady and whole");
        assert!(is_whole(&bytes[end + 4..]));
        if is_over.load(Ordering::SeqCst) {
            return answers;
        }
    }
    ANSWERS_MAX
}

fn is_whole(body: &[u8]) -> bool {
    let file: serde_json::Value = serde_json::from_slice(body).expect("whole JSON");
    file["pairs"].as_array().unwrap().len() == usize::try_from(MARKETS).unwrap()
}

#[test]
fn while_some_read_a_large_file_slowly_and_steadily_everybody_gets_whole_answers() {
    let database = block_on(wide_database(MARKETS));
    let daemon = Daemon::serve("http://127.0.0.1:9", &database, PASSPHRASE, &[]);
    daemon.wait_for_publication();
    // A busy machine keeps readers and the daemon waiting for their turn.
    let patient = [(" send_timeout 10s", " send_timeout 1h"), super::serving::PATIENT];
    let nginx = Nginx::start(&conf_with(&patient), daemon.public, daemon.output("").as_path());
    wait_until("all markets are published", || is_whole(&nginx.get("/markets.json").body));
    let (address, is_over) = (nginx.address, AtomicBool::new(false));
    let begun: [AtomicBool; SLOW] = Default::default();
    let (slow, answers) = std::thread::scope(|scope| {
        let is_over = &is_over;
        let readers: Vec<_> =
            begun.iter().map(|begun| scope.spawn(move || read_steadily(address, begun, is_over))).collect();
        wait_until("all have begun", || begun.iter().all(|begun| begun.load(Ordering::SeqCst)));
        let others = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read_whole(&nginx)));
        // Else the slow ones would go on for ever after a failure.
        is_over.store(true, Ordering::SeqCst);
        let slow: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        (slow, others.unwrap())
    });
    figure!(
        "slow, steady readers behind nginx do not slow down others",
        "{SLOW} readers of 12 MB at 250 KB/s: {answers} answers to others meanwhile, from at least {PUBLICATIONS} publications; all are complete, and so are the {slow} of the slow readers"
    );
}

/// Reads at full speed through a few publications. Returns the number of answers.
fn read_whole(nginx: &Nginx) -> usize {
    let (mut publications, mut answers) = (BTreeSet::new(), 0);
    wait_until("a few publications were read", || {
        for (path, accepted) in
            [("/markets.json", "identity"), ("/markets.json", "gzip, br"), ("/", "gzip"), ("/", "br")]
        {
            let answer = nginx.ask("GET", path, &accept(accepted));
            assert_eq!((answer.status, answer.header("X-Cache")), (200, Some("MISS")), "{path} {accepted}");
            let announced = answer.header("Content-Length").unwrap().parse();
            assert_eq!(announced, Ok(answer.body.len()), "{path} {accepted}");
            assert!(is_whole(&unpacked(&answer)), "{path} {accepted}");
            assert_well_formed(path, &answer);
            publications.insert(answer.header("X-Ticker-As-Of").unwrap().to_owned());
            answers += 1;
        }
        assert_eq!(nginx.get("/livez").status, 200);
        publications.len() >= PUBLICATIONS && answers >= ANSWERS
    });
    answers
}
