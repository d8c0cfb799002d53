//! The TOML checker: reads the stellar.toml files of assets that meet the rules, each file once for all its assets, and
//! so decides which assets are valid. Only while this replica leads.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use actix::{Context, Handler};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use metrics::counter;
use tracing::{debug, info};

use super::{
    envelope::{Envelope, TraceContext},
    leadership::Leadership,
    messages::{AssetsCommitted, AssetsLookedUp},
    outage,
    port::Port,
    ranking::Ranking,
    supervision::status::ChildStatus,
    worker::{TICK, Work, WorkContext, Worker},
};
use crate::{
    clock::SharedClock,
    db::{
        Database, DbError,
        toml_files::{DueFile, FileFetch},
    },
    domain::ranking::assets_of,
    horizon::stellar_toml::{AT_ONCE, TomlClient, TomlError},
};

/// Files fetched in one round; the client bounds how many at once.
const ROUND: i64 = 1_024;
/// Assets of so many of the busiest markets are asked for first.
const RANKED_MARKETS: usize = 500;
/// How often it looks for files that are due when nobody tells it.
const REST: Duration = Duration::from_secs(10);
/// How often verdicts are looked through that have held too long.
const EXPIRY_EVERY: TimeDelta = TimeDelta::minutes(1);
/// A failure does not take away the last good verdict for this time.
const GRACE: Duration = Duration::from_secs(24 * 3_600);
/// A good file is read again after this time.
const GOOD_FOR: TimeDelta = TimeDelta::hours(6);
/// How long a file may take that has not failed before: thousands of domains never answer, and a sweep must end.
const FIRST_PATIENCE: Duration = Duration::from_millis(1_250);
/// One that was not there by then is tried again after this time, with all patience.
const SLOW_RETRY: TimeDelta = TimeDelta::seconds(5);
/// A file that failed is tried again after this time, which doubles with each failure.
const FIRST_RETRY: TimeDelta = TimeDelta::minutes(1);
/// Doublings at most: some 17 hours.
const DOUBLINGS_MAX: u32 = 10;
/// A problem's text is kept up to this length.
const PROBLEM_CHARS_MAX: usize = 200;
/// How long the aggregator may take to hear of it.
const AGGREGATOR_TIMEOUT: Duration = Duration::from_secs(5);

/// What the TOML checker works with.
#[derive(Clone)]
pub struct TomlCheck {
    /// Where files are.
    pub files: TomlClient,
    /// Which are due, and where what they tell goes.
    pub database: Database,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Which markets are busiest.
    pub ranking: Ranking,
    /// Who learns that nothing is due any more; nobody in a command that runs alone.
    pub aggregator: Option<Port<AssetsCommitted>>,
    /// What time it is.
    pub clock: SharedClock,
    /// Whether a stellar.toml decides on validity: everywhere but on testnet.
    pub requires_toml: bool,
    /// Up to which batch the assets of the busiest markets have been looked up, as the asset poller told.
    pub looked_up: Rc<Cell<i64>>,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type TomlChecker = Worker<TomlCheck>;

impl Work for TomlCheck {
    async fn run(self, context: WorkContext) {
        let mut expired_at = DateTime::<Utc>::MIN_UTC;
        loop {
            context.advance();
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            let all_upto = self.looked_up.get(); // before it is looked which files are due
            match self.round(epoch, &context, &mut expired_at).await {
                Ok(0) => {
                    self.status.set_state("idle");
                    self.tell(all_upto).await;
                    context.rest(REST).await;
                }
                Ok(_) => {}
                Err(error) => {
                    outage::database_failed(&self.database, &error, "checking stellar.toml files");
                    context.pause(TICK).await;
                }
            }
        }
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

impl Handler<Envelope<AssetsLookedUp>> for TomlChecker {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<AssetsLookedUp>, _: &mut Context<Self>) {
        let _handling = self.work.status.begin(&envelope);
        let looked_up = &self.work.looked_up;
        looked_up.set(looked_up.get().max(envelope.body.all_upto));
        self.context.wake();
    }
}

impl TomlCheck {
    /// Checks every file that is due, those that take their time for a second time, and comes back.
    ///
    /// # Errors
    ///
    /// In words: the lease or the database is lost.
    pub async fn check_once(&self, context: &WorkContext) -> Result<(), String> {
        let in_words = |error: DbError| error.to_string();
        let mut expired_at = DateTime::<Utc>::MIN_UTC;
        loop {
            let epoch = self.leadership.epoch().ok_or("the lease was lost")?;
            if self.round(epoch, context, &mut expired_at).await.map_err(in_words)? > 0 {
                continue;
            }
            let soon = self.clock.now() + SLOW_RETRY;
            if self.database.due_files(&[], 1, soon).await.map_err(in_words)?.is_empty() {
                return Ok(());
            }
            context.pause(TICK).await;
        }
    }

    /// Fetches what is due and stores what came of it. Gives how many files that were.
    async fn round(
        &self,
        epoch: i64,
        context: &WorkContext,
        expired_at: &mut DateTime<Utc>,
    ) -> Result<usize, DbError> {
        let now = self.clock.now();
        if self.requires_toml && now - *expired_at >= EXPIRY_EVERY {
            *expired_at = now;
            if self.database.expire_verdicts(epoch, GRACE, now).await?.is_some() {
                info!("assets are not valid any more: their stellar.toml could not be read for a day");
            }
        }
        if self.database.due_files(&[], 1, now).await?.is_empty() {
            return Ok(0);
        }
        let ranked = self.ranking.ask().await.unwrap_or_default();
        let busiest = assets_of(ranked.get(..RANKED_MARKETS).unwrap_or(&ranked));
        let due = self.database.due_files(&busiest, ROUND, now).await?;
        let count = due.len();
        if count > 0 {
            self.status.set_state("fetching");
        }
        // Whatever is there is stored: a host that takes its time holds up no other's verdict.
        let mut fetched =
            stream::iter(due).map(|file| self.fetch(file)).buffer_unordered(AT_ONCE).ready_chunks(AT_ONCE);
        while let Some(fetches) = fetched.next().await {
            context.advance();
            self.database.record_files(epoch, &fetches, self.requires_toml, self.clock.now()).await?;
        }
        Ok(count)
    }

    async fn fetch(&self, file: DueFile) -> FileFetch {
        let is_first = file.failures == 0;
        let files = if is_first { self.files.within(FIRST_PATIENCE) } else { self.files.clone() };
        let fetched = files.fetch(&file.url).await;
        let outcome = match &fetched {
            Ok(_) => "ok",
            Err(error) => error.kind(),
        };
        counter!("ticker_toml_fetches_total", "outcome" => outcome).increment(1);
        let now = self.clock.now();
        let (outcome, wait) = match fetched {
            Ok(told) => (Ok(told), GOOD_FOR),
            Err(error) => {
                debug!(url = %file.url.escape_debug(), %error, "a stellar.toml cannot be read");
                let is_slow = is_first && matches!(error, TomlError::TimedOut);
                let wait = if is_slow { SLOW_RETRY } else { retry_after(file.failures) };
                let text = error.to_string().replace('\0', "");
                (Err(text.chars().take(PROBLEM_CHARS_MAX).collect()), wait)
            }
        };
        FileFetch { url: file.url, outcome, next_check_at: now + wait }
    }

    async fn tell(&self, all_upto: i64) {
        let Some(aggregator) = &self.aggregator else { return };
        let Ok(seq) = self.database.current_seq().await else { return }; // told again soon
        let told = aggregator
            .call(&TraceContext::root(), AssetsCommitted { all_upto, seq }, AGGREGATOR_TIMEOUT)
            .await;
        if let Err(error) = told {
            debug!(%error, "the aggregator did not hear of assets");
        }
    }
}

/// How long to leave a file alone that has failed so often before.
fn retry_after(failures: u32) -> TimeDelta {
    FIRST_RETRY.checked_mul(1 << failures.min(DOUBLINGS_MAX)).unwrap_or(GOOD_FOR)
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap};

    use super::*;

    #[test]
    fn a_file_that_fails_is_left_alone_longer_each_time_up_to_a_bound() {
        let waits: Vec<i64> = [0, 1, 2, 10, 99].map(|failures| retry_after(failures).num_minutes()).to_vec();
        assert_eq!(waits, [1, 2, 4, 1_024, 1_024]);
    }

    /// How long rounds of fetches take, each file for so long, as `round` fetches them.
    fn swept_within(files: &[Duration]) -> Duration {
        let mut clock = Duration::ZERO;
        for round in files.chunks(usize::try_from(ROUND).unwrap()) {
            let mut ends = BinaryHeap::new(); // of the fetches under way
            for file in round {
                if ends.len() == AT_ONCE {
                    let Reverse(earliest) = ends.pop().unwrap();
                    clock = earliest;
                }
                ends.push(Reverse(clock + *file));
            }
            clock = ends.into_iter().map(|Reverse(end)| end).max().unwrap_or(clock);
        }
        clock
    }

    #[test]
    fn a_sweep_of_ten_thousand_domains_of_which_half_never_answer_ends_within_ten_minutes() {
        let quick = Duration::from_millis(500);
        let worst = [
            (0..10_000).map(|n| if n % 2 == 0 { FIRST_PATIENCE } else { quick }).collect::<Vec<_>>(),
            [vec![FIRST_PATIENCE; 5_000], vec![quick; 5_000]].concat(),
            [vec![quick; 5_000], vec![FIRST_PATIENCE; 5_000]].concat(),
            (0..10_000).map(|n| if n % 1_024 < 512 { quick } else { FIRST_PATIENCE }).collect(),
        ];
        for files in worst {
            let took = swept_within(&files);
            println!("10,000 domains, half of them silent: {} s", took.as_secs());
            assert!(took < Duration::from_secs(600), "{took:?}");
        }
    }
}
