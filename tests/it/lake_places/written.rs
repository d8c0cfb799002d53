//! `horizon-sim --lake-dir`: the directory that it writes is a lake, and grows with the network.

use std::path::Path;

use super::*;

/// Address where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Objects of a lake, with their directories.
fn objects(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let partitions = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    let files = partitions.flat_map(|path| std::fs::read_dir(path).unwrap().flatten());
    files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "zst")).collect()
}

#[test]
fn the_simulated_horizon_writes_a_lake_that_a_daemon_follows_without_it() {
    let directory = tempfile::tempdir().unwrap();
    let lake = directory.path().join("lake");
    let path = lake.to_str().unwrap();
    let network = ["--network", PASSPHRASE];
    let simulated = ["horizon-sim", "--bind", "127.0.0.1:0", "--history-hours", "0", "--ledger-seconds", "1"];
    let _writer = spawn(&[&simulated[..], &["--lake-dir", path], &network].concat());
    wait_until("some ledgers are written", || objects(&lake).len() > 2);
    let newest = objects(&lake).into_iter().min().unwrap(); // names begin with the reversed number
    let (code, trades, log) = run(&[&["ledger", "trades", newest.to_str().unwrap()], &network[..]].concat());
    assert_eq!(code, 0, "{log}");
    assert!(trades.lines().count() > 0, "a ledger has trades");
    let url = format!("file://{path}");
    let more =
        ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &url, "--backfill-hours", "0"];
    block_on(async {
        let daemon = Daemon::serve(NOWHERE, &fresh_database().await, PASSPHRASE, &more);
        let client = recomputation::connect(&daemon.database).await;
        wait_for_trades(&client, 20).await;
        let held = "SELECT max(to_ledger) FROM coverage";
        let then = number(&client, held).await;
        let begun = Instant::now();
        while number(&client, held).await < then + 3 {
            assert!(begun.elapsed() < DEADLINE, "{}", daemon.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_file_url_names_an_absolute_directory() {
    for (url, words) in [("file://srv/lake", "absolute"), ("file:///", "")] {
        let (code, _, log) = run(&["config", "check", "--ledger-source", "lake", "--lake-url", url]);
        assert_eq!(code == 0, words.is_empty(), "{url}: {log}");
        assert!(log.contains(words), "{url}: {log}");
    }
}
