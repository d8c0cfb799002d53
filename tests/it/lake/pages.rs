//! Pages of a daemon whose new trades come from a lake.

use super::*;
use crate::support::wait_until;

/// Header of a browser in which a person opens an address.
const BROWSER: &str = "Accept: text/html\r\n";

#[test]
fn the_pages_name_a_lake_that_is_taken_away_and_not_horizon() {
    let sim = with_lake(410, 3.0, 1, FaultPlan::none());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lake");
    let head = sim.oracle().head();
    sim.lake().write_to(&path, head.latest - 9, head.latest).unwrap();
    block_on(async {
        let lake = format!("file://{}", path.display());
        let source = ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake];
        let more = [&source[..], &["--backfill-hours", "0", "--stale-after", "2s"]].concat();
        let environment =
            [("TICKER_CHAOS_LAKE_LATE_MS", "1000"), ("TICKER_CHAOS_FIRST_PUBLICATION_MS", "1000")];
        let daemon = Daemon::serve_in(&environment, NOWHERE, &fresh_database().await, PASSPHRASE, &more);
        daemon.wait_for_publication();
        std::fs::rename(&path, directory.path().join("away")).unwrap();
        let page = |path: &str| String::from_utf8(daemon.get_with("GET", path, BROWSER).body).unwrap();
        let fault = format!("{lake} cannot be read since ");
        wait_until("the banner names the lake", || {
            page("/licences")
                .split_once("class=\"banner\"")
                .is_some_and(|(_, banner)| banner.contains(&fault))
        });
        let banner = page("/licences");
        for words in ["Nothing has arrived from the lake since ", "added when the lake answers again."] {
            assert!(banner.contains(words), "{words}: {banner}");
        }
        assert!(!banner.contains("from Horizon") && !banner.contains(NOWHERE), "{banner}");
        let status = page("/status");
        let (_, tile) = status.split_once("<h2 id=\"lake\">").unwrap();
        let (tile, _) = tile.split_once("</section>").unwrap();
        assert!(tile.contains(&lake) && tile.contains("<dt>Cannot be read since</dt>"), "{tile}");
        assert!(status.contains("<dt>Last data from the lake</dt>"), "{status}");
    });
}
