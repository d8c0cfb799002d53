//! Order of fetches: one file of a host after another, many hosts at a time.
//!
//! Anyone may link to any number of files of one host. If that host is slow, its files would take all places, and the
//! files of other hosts would wait for hours.

use std::{collections::HashMap, time::Duration};

use futures_util::{Stream, StreamExt, stream};

use crate::horizon::stellar_toml::host_of;

/// Groups files by their hosts, in the order of each host's first file.
pub(super) fn by_host<File>(files: Vec<File>, url: impl Fn(&File) -> &str) -> Vec<Vec<File>> {
    let (mut hosts, mut places) = (Vec::<Vec<File>>::new(), HashMap::new());
    for file in files {
        // A link that is no URL has no host, and is refused without a request.
        let host = host_of(url(&file)).unwrap_or_else(|| url(&file).to_owned());
        let place = *places.entry(host).or_insert(hosts.len());
        match hosts.get_mut(place) {
            Some(others) => others.push(file),
            None => hosts.push(vec![file]),
        }
    }
    hosts
}

/// Means of fetching files.
pub(super) trait Fetch {
    type File;
    type Fetched;

    /// Time limit for a file.
    fn patience(&self, file: &Self::File) -> Duration;

    /// Fetches a file. Returns true in addition if the time limit passed.
    async fn fetch(&self, file: Self::File) -> (Self::Fetched, bool);

    /// Result for a file whose host has just exceeded the same time limit.
    fn silent(&self, file: Self::File) -> Self::Fetched;
}

/// Fetches files of at most `hosts_max` hosts at a time. Yields results as they come: a slow host must not delay the
/// verdicts of others. A host that exceeds the time limit is not asked again for other files within that limit.
pub(super) fn concurrently<F: Fetch>(
    fetch: &F,
    hosts: Vec<Vec<F::File>>,
    hosts_max: usize,
) -> impl Stream<Item = Vec<F::Fetched>> {
    let of_host = move |files: Vec<F::File>| {
        let begin = (files.into_iter(), Duration::ZERO);
        Box::pin(stream::unfold(begin, move |(mut files, silent_for)| async move {
            let file = files.next()?;
            let patience = fetch.patience(&file);
            if patience <= silent_for {
                return Some((fetch.silent(file), (files, silent_for)));
            }
            let (fetched, is_silent) = fetch.fetch(file).await;
            Some((fetched, (files, if is_silent { patience } else { silent_for })))
        }))
    };
    stream::iter(hosts).map(of_host).flatten_unordered(hosts_max).ready_chunks(hosts_max)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::Instant;

    use super::*;

    /// Time limits for files with earlier failures, and for new ones.
    const PATIENCE: Duration = Duration::from_secs(8);
    const FIRST_PATIENCE: Duration = Duration::from_millis(1_250);
    const HOSTS_MAX: usize = 16;

    /// Link, and the time that its host takes.
    type Link = (String, Duration);

    /// Counts requests.
    #[derive(Default)]
    struct Sleeper {
        asked: RefCell<Vec<String>>,
    }

    impl Fetch for Sleeper {
        type File = Link;
        type Fetched = (String, bool);

        fn patience(&self, (url, _): &Link) -> Duration {
            if url.ends_with("/new") { FIRST_PATIENCE } else { PATIENCE }
        }

        async fn fetch(&self, file: Link) -> ((String, bool), bool) {
            let patience = self.patience(&file);
            let (url, takes) = file;
            self.asked.borrow_mut().push(url.clone());
            tokio::time::sleep(takes.min(patience)).await;
            ((url, takes <= patience), takes > patience)
        }

        fn silent(&self, (url, _): Link) -> (String, bool) {
            (url, false)
        }
    }

    fn link(url: &str, takes_ms: u64) -> Link {
        (format!("https://{url}"), Duration::from_millis(takes_ms))
    }

    /// Results of all files, with the second of each.
    async fn swept(sleeper: &Sleeper, files: Vec<Link>) -> Vec<(String, bool, u64)> {
        let begun = Instant::now();
        let hosts = by_host(files, |(url, _)| url);
        let fetched = concurrently(sleeper, hosts, HOSTS_MAX);
        let all = fetched.fold(Vec::new(), async |mut all, some| {
            let second = begun.elapsed().as_secs();
            all.extend(some.into_iter().map(|(url, is_good)| (url, is_good, second)));
            all
        });
        all.await
    }

    #[test]
    fn files_are_grouped_by_host_in_any_spelling() {
        let urls = [
            "https://a.b/1",
            "https://c.d/",
            "HTTPS://A.B./2",
            "nonsense",
            "https://a.b:443/3",
            "nonsense 2",
        ];
        let hosts = by_host(urls.to_vec(), |url| url);
        assert_eq!(hosts, [vec![urls[0], urls[2], urls[4]], vec![urls[1]], vec![urls[3]], vec![urls[5]]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_host_with_a_thousand_links_delays_no_other_host() {
        let mut files: Vec<Link> = (0..1_000).map(|n| link(&format!("evil.com/{n}"), 3_600_000)).collect();
        files.extend((0..100).map(|n| link(&format!("quick{n}.com/"), 1_000)));
        let sleeper = Sleeper::default();
        let results = swept(&sleeper, files).await;
        assert_eq!(results.len(), 1_100);
        let quick: Vec<_> = results.iter().filter(|(url, ..)| url.contains("quick")).collect();
        assert!(quick.len() == 100 && quick.iter().all(|(_, is_good, second)| *is_good && *second < 10));
        assert!(
            results.iter().all(|(url, is_good, second)| url.contains("quick") || !is_good && *second <= 8)
        );
        let asked = sleeper.asked.borrow().iter().filter(|url| url.contains("evil")).count();
        assert_eq!(asked, 1, "it is not asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_too_slow_for_a_new_file_gets_its_time_for_the_others() {
        let files = ["a/new", "b/new", "a", "b"].map(|path| link(&format!("slow.com/{path}"), 5_000));
        let sleeper = Sleeper::default();
        let good: Vec<bool> =
            swept(&sleeper, files.to_vec()).await.into_iter().map(|(_, is_good, _)| is_good).collect();
        assert_eq!(good, [false, false, true, true]);
        assert_eq!(sleeper.asked.borrow().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_of_ten_thousand_domains_of_which_half_never_answer_ends_within_ten_minutes() {
        let file = |n: usize, is_silent: bool| {
            link(&format!("host{n}.com/new"), if is_silent { 60_000 } else { 500 })
        };
        let worst: [fn(usize) -> bool; 4] =
            [|n| n % 2 == 0, |n| n < 5_000, |n| n >= 5_000, |n| n % 1_024 >= 512];
        for is_silent in worst {
            let begun = Instant::now();
            let files: Vec<Link> = (0..10_000).map(|n| file(n, is_silent(n))).collect();
            for round in files.chunks(1_024) {
                assert_eq!(swept(&Sleeper::default(), round.to_vec()).await.len(), round.len());
            }
            println!("10,000 domains, half of them silent: {} s", begun.elapsed().as_secs());
            assert!(begun.elapsed() < Duration::from_secs(600), "{:?}", begun.elapsed());
        }
    }
}
