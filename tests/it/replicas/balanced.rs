//! nginx in front of two replicas, with the configuration of `deploy/`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::support::{daemon::request, nginx::Nginx};

#[test]
fn readers_behind_a_balancer_notice_neither_the_fall_nor_the_end_of_a_replica() {
    block_on(async {
        let mut replicas = Replicas::start(network(68, FaultPlan::none()), &[]).await;
        let nginx = Nginx::balance([replicas.both[0].public, replicas.both[1].public]);
        let address = nginx.address;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let reader = std::thread::spawn(move || {
            let mut answers = 0_u32;
            while !over.load(Ordering::SeqCst) {
                for path in ["/markets.json", "/assets.json", "/readyz"] {
                    let answer = request(address, "GET", path, "").unwrap();
                    assert_eq!(answer.status, 200, "{path}: {}", answer.head);
                    assert!(!answer.body.is_empty() && answer.json().is_object(), "{path}: whole");
                    answers += 1;
                }
            }
            answers
        });
        let old = replicas.leader();
        replicas.both[old].kill();
        replicas.taken_over(old, Instant::now()).await;
        // nginx knows only the first address: the new process gets no readers, the other one gets all.
        replicas.restart(old);
        wait_for_trades(
            &replicas.client,
            number(&replicas.client, "SELECT count(*) FROM trades").await + 100,
        )
        .await;
        is_over.store(true, Ordering::SeqCst);
        let answers = reader.join().expect("every answer was 200 and whole");
        figure!(
            "readers behind nginx do not notice that the leader was killed",
            "{answers} answers, all 200"
        );
        replicas.finish().await;
    });
}

#[test]
fn one_replica_answers_not_modified_for_an_etag_of_the_other() {
    block_on(async {
        let replicas = Replicas::start(slow_network(69), &[]).await;
        wait_until("the other says that nothing has changed", || {
            let tag = replicas.both[0].get("/markets.json").header("etag").unwrap().to_owned();
            let asked = format!("If-None-Match: {tag}\r\n");
            replicas.both[1].get_with("GET", "/markets.json", &asked).status == 304
        });
    });
}

#[test]
fn a_reader_behind_a_balancer_gets_every_page_of_the_list() {
    block_on(async {
        let replicas = Replicas::start(network(70, FaultPlan::none()), &[]).await;
        let nginx = Nginx::balance([replicas.both[0].public, replicas.both[1].public]);
        // Each replica pins its view at another moment, so a cursor of one is unknown to the other.
        let moment = |place: usize| replicas.both[place].get("/api/v1/markets").json()["as_of"].clone();
        let first = moment(0);
        wait_until("the other publishes a later moment", || replicas.both[1].status()["as_of"] != first);
        assert_ne!(moment(1), first);
        let (mut path, mut pages) = ("/api/v1/markets?limit=5".to_owned(), 0);
        loop {
            let page = nginx.get(&path);
            assert_eq!(page.status, 200, "page {pages}: {}", String::from_utf8_lossy(&page.body));
            pages += 1;
            let page = page.json();
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/api/v1/markets?limit=5&cursor={cursor}");
        }
        assert!(pages > 2, "{pages} pages");
    });
}
