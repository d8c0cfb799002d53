//! The directory of the files: full, read-only, hanging, gone.

use super::*;
use crate::support::{postgres::fresh_database, small_disk::SmallDisk};

/// Does something to the directory, undoes it, and looks at the files in between and afterwards.
fn survives(
    seed: u64,
    disk: Option<SmallDisk>,
    harm: impl FnOnce(&SmallDisk),
    heal: impl FnOnce(&SmallDisk),
) -> Option<String> {
    let disk = disk?;
    let sim = network(seed, FaultPlan::none());
    Some(block_on(async {
        let database = fresh_database().await;
        let www = disk.path().join("www");
        let mut daemon =
            Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--output-dir", www.to_str().unwrap()]);
        wait_for_pairs(&daemon);
        let file = www.join("markets.json");
        let generated = || -> Option<i64> {
            let raw = std::fs::read(&file).ok()?;
            let file: serde_json::Value = serde_json::from_slice(&raw).expect("a whole file");
            file["generated_at"].as_i64()
        };
        wait_until("the file is there", || generated().is_some());
        let before = daemon.log().len();
        harm(&disk);
        wait_until("it is reported", || {
            let log = daemon.log();
            log[before..].lines().any(|line| line.contains("\"WARN\"") && line.contains("json_writer"))
        });
        let old = generated();
        let as_of = |daemon: &Daemon| daemon.get("/markets.json").json()["generated_at"].as_i64();
        let shown = as_of(&daemon);
        wait_until("HTTP goes on", || as_of(&daemon) > shown);
        if let Some(old) = old {
            assert!(generated().is_none_or(|now| now >= old), "the old file stays as it was");
        }
        let begun = Instant::now();
        let healed = chrono::Utc::now().timestamp_millis();
        heal(&disk);
        wait_until("the files are new", || generated() > Some(healed));
        let took = begun.elapsed();
        assert!(daemon.is_running());
        let client = crate::support::recomputation::connect(&database).await;
        wait_for_trades(&client, 200).await;
        let trades = settle(sim, &client, &[&daemon]).await;
        format!("new files after {}; {trades} trades", seconds(took))
    }))
}

#[test]
#[ignore = "some 10 s: ./ticker matrix"]
fn a_directory_that_is_full_keeps_the_old_files_until_there_is_room() {
    if let Some(outcome) = survives(141, SmallDisk::mount("8m"), SmallDisk::fill, SmallDisk::relieve) {
        figure!("the output directory is full", "{outcome}");
    }
}

#[test]
#[ignore = "some 10 s: ./ticker matrix"]
fn a_directory_that_is_read_only_keeps_the_old_files_until_it_is_not() {
    if let Some(outcome) =
        survives(142, SmallDisk::mount("8m"), |disk| disk.remount("ro"), |disk| disk.remount("rw"))
    {
        figure!("the output directory is read-only", "{outcome}");
    }
}

#[test]
#[ignore = "some 40 s: ./ticker matrix"]
fn a_directory_that_hangs_is_reported_and_blocks_nothing_else() {
    if let Some(outcome) =
        survives(144, SmallDisk::mount_freezable("16m"), SmallDisk::freeze, SmallDisk::thaw)
    {
        figure!(
            "the output directory hangs (a frozen file system): reported, and nothing else waits",
            "{outcome}"
        );
    }
}

#[test]
#[ignore = "some 10 s: ./ticker matrix"]
fn a_directory_that_is_removed_is_made_again() {
    let sim = network(143, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        wait_until("the file is there", || daemon.output("markets.json").exists());
        let begun = Instant::now();
        // The writer may put a file into it meanwhile.
        wait_until("it is removed", || std::fs::remove_dir_all(daemon.output("")).is_ok());
        wait_until("all files are there again", || {
            ["markets.json", "markets.json.gz", "markets.json.br", "assets.json"]
                .iter()
                .all(|name| daemon.output(name).exists())
        });
        let took = begun.elapsed();
        let client = crate::support::recomputation::connect(&database).await;
        wait_for_trades(&client, 200).await;
        let trades = settle(sim, &client, &[&daemon]).await;
        figure!("the output directory is removed", "all files after {}; {trades} trades", seconds(took));
    });
}
