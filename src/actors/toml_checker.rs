//! The TOML checker: fetches the stellar.toml files of assets that meet the rules, each file once for all its assets,
//! and thereby decides which assets are valid. It works while this replica leads.

mod by_host;

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use actix::{Context, Handler};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use metrics::counter;
use tracing::{debug, info};

use super::{
    envelope::Envelope,
    leadership::Leadership,
    messages::{AssetsCommitted, AssetsLookedUp},
    outage,
    port::Port,
    ranking::Ranking,
    services::{self, Services},
    supervision::status::ChildStatus,
    trace::{context::TraceContext, subject::Subject},
    wiring::{DaemonActor, Wiring},
    worker::{TICK, Work, WorkContext, Worker, transaction},
};
use crate::{
    clock::SharedClock,
    db::{
        Database, DbError,
        toml_files::{DueFile, FileFetch},
    },
    domain::{issuer_file::IssuerFile, ranking::assets_of},
    horizon::stellar_toml::{CONCURRENT_FETCHES_MAX, FETCH_TIMEOUT, TomlClient, TomlError, TomlSettings},
    published::Part,
    shutdown, steps,
};
use by_host::{Fetch, by_host, concurrently};

/// Files per round, few of each host.
const ROUND: i64 = 1_024;
/// Number of the busiest markets whose assets are checked first.
const RANKED_MARKETS: usize = 500;
/// Interval at which due files are looked for without a message.
const REST: Duration = Duration::from_secs(10);
/// Interval at which expired verdicts are looked for.
const EXPIRY_EVERY: TimeDelta = TimeDelta::minutes(1);
/// Time for which the last good verdict outlives failed fetches.
const GRACE: Duration = Duration::from_secs(24 * 3_600);
/// Time after which a good file is fetched again.
const GOOD_FOR: TimeDelta = TimeDelta::hours(6);
/// Time limit for a file without earlier failures. Thousands of domains never answer, and a sweep must end.
const FIRST_PATIENCE: Duration = Duration::from_millis(1_250);
/// Time after which a file that exceeded it is tried again, with the full time limit.
const SLOW_RETRY: TimeDelta = TimeDelta::seconds(5);
/// Time after which a failed file is tried again. It doubles with each failure.
const FIRST_RETRY: TimeDelta = TimeDelta::minutes(1);
/// Most doublings. The longest wait is some 17 hours.
const DOUBLINGS_MAX: u32 = 10;
/// Longest stored text of a problem.
const PROBLEM_CHARS_MAX: usize = 200;
/// Time limit for the aggregator to acknowledge a message.
const AGGREGATOR_TIMEOUT: Duration = Duration::from_secs(5);

/// Fewest hosts of a round that shows, if no host answered, that outgoing requests are blocked.
const SILENT_ROUND_MIN: usize = 8;

/// Fetch of one file.
struct Fetched {
    /// Result to store.
    result: FileFetch,
    /// True if the host answered in any way.
    answered: bool,
}

/// Dependencies of the TOML checker.
#[derive(Clone)]
pub struct TomlCheck {
    /// Client for stellar.toml files.
    pub files: TomlClient,
    /// Database with the due files; it stores the results.
    pub database: Database,
    /// The lease under which it writes.
    pub leadership: Leadership,
    /// Ranking of the markets.
    pub ranking: Ranking,
    /// Actor to notify when no file is due; none in a command that runs alone.
    pub aggregator: Option<Port<AssetsCommitted>>,
    /// Source of the current time.
    pub clock: SharedClock,
    /// True if validity depends on a stellar.toml: on every network except testnet.
    pub requires_toml: bool,
    /// Last batch whose traded assets have been looked up, as reported by the asset poller. Set by the handler, read by
    /// the loop. A restart keeps it: the message is gone.
    pub looked_up: Rc<Cell<i64>>,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type TomlChecker = Worker<TomlCheck>;

impl DaemonActor for TomlChecker {
    const NAME: &'static str = "toml_checker";
    const DRAIN_PHASE: usize = shutdown::SOURCES;
    const PART: Option<Part> = Some(Part::of_leader("stellar_toml"));

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let ranking = Ranking::of(&wiring.receivers, Self::NAME);
        let aggregator = wiring.receivers.assets_committed.port(Self::NAME);
        Worker::new(TomlCheck::new(&wiring.services, ranking, Some(aggregator), status))
    }
}

impl TomlCheck {
    /// Creates the work. A command that runs alone has no aggregator to notify.
    #[must_use]
    pub fn new(
        services: &Services,
        ranking: Ranking,
        aggregator: Option<Port<AssetsCommitted>>,
        status: Arc<ChildStatus>,
    ) -> Self {
        let config = &services.config;
        let settings = TomlSettings { gateway: config.toml_gateway.clone(), ca_file: config.ca_file.clone() };
        Self {
            files: services::usable(TomlClient::new(settings)),
            database: services.database.clone(),
            leadership: services.leadership.clone(),
            ranking,
            aggregator,
            clock: Arc::clone(&services.clock),
            requires_toml: services.requires_toml(),
            looked_up: Rc::default(),
            status,
        }
    }
}

impl Work for TomlCheck {
    async fn run(self, context: WorkContext) {
        let mut expired_at = DateTime::<Utc>::MIN_UTC;
        loop {
            context.advance();
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            let all_upto = self.looked_up.get(); // read before the due files, so that it is never too high
            let mut pass = context.pass(steps::CHECK_TOML);
            match self.round(epoch, &context, &pass.trace(), &mut expired_at).await {
                Ok(0) => {
                    self.status.idles("no stellar.toml is due");
                    self.status.set_state("idle");
                    self.notify(all_upto, &pass.done()).await;
                    context.pause_until_woken(REST).await;
                }
                Ok(files) => {
                    pass.set_subject(Subject::none().with("files", files));
                    pass.done();
                    context.keep_causes();
                }
                Err(error) => {
                    pass.failed();
                    context.keep_causes();
                    if !error.is_take_over() {
                        self.status.fails(&error);
                    }
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
        let handling = self.work.status.begin(&envelope);
        let looked_up = &self.work.looked_up;
        looked_up.set(looked_up.get().max(envelope.body.all_upto));
        self.context.wake(handling.trace());
    }
}

impl TomlCheck {
    /// Checks every due file, and the slow ones a second time.
    ///
    /// # Errors
    ///
    /// A text: the lease was lost or the database failed.
    pub async fn check_once(&self, context: &WorkContext) -> Result<(), String> {
        let in_words = |error: DbError| error.to_string();
        let mut expired_at = DateTime::<Utc>::MIN_UTC;
        loop {
            let epoch = self.leadership.epoch().ok_or("the lease was lost")?;
            let pass = context.pass(steps::CHECK_TOML);
            if self.round(epoch, context, &pass.trace(), &mut expired_at).await.map_err(in_words)? > 0 {
                continue;
            }
            let soon = self.clock.now() + SLOW_RETRY;
            if self.database.due_files(&[], 1, soon).await.map_err(in_words)?.is_empty() {
                return Ok(());
            }
            context.pause(TICK).await;
        }
    }

    /// Fetches the due files and stores the results. Returns the number of files.
    async fn round(
        &self,
        epoch: i64,
        context: &WorkContext,
        cause: &TraceContext,
        expired_at: &mut DateTime<Utc>,
    ) -> Result<usize, DbError> {
        let now = self.clock.now();
        if self.requires_toml && now - *expired_at >= EXPIRY_EVERY {
            *expired_at = now;
            let expiry = self.database.expire_verdicts(epoch, GRACE, now);
            if transaction(&self.status, cause, expiry).await?.is_some() {
                info!("assets expired, their stellar.toml was unreadable for a day");
            }
        }
        // A cheap check first: mostly nothing is due, and the ranking need not be computed.
        if self.database.due_files(&[], 1, now).await?.is_empty() {
            return Ok(0);
        }
        let ranked = self.ranking.ask(cause).await.unwrap_or_default();
        let busiest = assets_of(ranked.get(..RANKED_MARKETS).unwrap_or(&ranked));
        let due = self.database.due_files(&busiest, ROUND, now).await?;
        let count = due.len();
        if count > 0 {
            self.status.set_state("fetching");
        }
        let hosts = by_host(due, |file| &file.url);
        let hosts_count = hosts.len();
        let mut fetched = concurrently(self, hosts, CONCURRENT_FETCHES_MAX);
        let mut answered = false;
        while let Some(fetches) = fetched.next().await {
            context.advance();
            answered |= fetches.iter().any(|fetch| fetch.answered);
            let fetches: Vec<FileFetch> = fetches.into_iter().map(|fetch| fetch.result).collect();
            let storing = self.database.record_files(epoch, &fetches, self.requires_toml, self.clock.now());
            transaction(&self.status, cause, storing).await?;
        }
        self.report_round(hosts_count, answered);
        Ok(count)
    }

    /// Reports the health of the fetches. A few silent hosts are normal; a whole round of them means no egress.
    fn report_round(&self, hosts: usize, answered: bool) {
        if answered {
            self.status.succeeds("stellar.toml files are fetched");
        } else if hosts >= SILENT_ROUND_MIN {
            self.status.fails(&format_args!(
                "none of {hosts} hosts of stellar.toml files answered: allow outgoing HTTPS, or set --toml-gateway"
            ));
        }
    }

    /// Turns the answer for a file into the result to store.
    fn judged(&self, file: DueFile, fetched: Result<IssuerFile, TomlError>) -> Fetched {
        let is_first = file.failures == 0;
        let outcome = match &fetched {
            Ok(_) => "ok",
            Err(error) => error.kind(),
        };
        counter!("ticker_toml_fetches_total", "outcome" => outcome).increment(1);
        let answered = !matches!(fetched, Err(TomlError::Connect(_) | TomlError::TimedOut));
        let now = self.clock.now();
        let (outcome, wait) = match fetched {
            Ok(file) => (Ok(file), GOOD_FOR),
            Err(error) => {
                debug!(url = %file.url.escape_debug(), %error, "stellar.toml could not be read");
                let is_slow = is_first && matches!(error, TomlError::TimedOut);
                let wait = if is_slow { SLOW_RETRY } else { retry_after(file.failures) };
                // PostgreSQL's text type cannot hold NUL.
                let text = error.to_string().replace('\0', "");
                (Err(text.chars().take(PROBLEM_CHARS_MAX).collect()), wait)
            }
        };
        Fetched { result: FileFetch { url: file.url, outcome, next_check_at: now + wait }, answered }
    }

    async fn notify(&self, all_upto: i64, cause: &TraceContext) {
        let Some(aggregator) = &self.aggregator else { return };
        let Ok(seq) = self.database.current_seq().await else { return }; // the next round notifies again
        let sent = aggregator.call(Some(cause), AssetsCommitted { all_upto, seq }, AGGREGATOR_TIMEOUT).await;
        if let Err(error) = sent {
            debug!(%error, "aggregator did not confirm checked assets");
        }
    }
}

impl Fetch for TomlCheck {
    type File = DueFile;
    type Fetched = Fetched;

    fn patience(&self, file: &DueFile) -> Duration {
        if file.failures == 0 { FIRST_PATIENCE } else { FETCH_TIMEOUT }
    }

    async fn fetch(&self, file: DueFile) -> (Fetched, bool) {
        let fetched = self.files.within(self.patience(&file)).fetch(&file.url).await;
        let is_silent = matches!(fetched, Err(TomlError::TimedOut));
        (self.judged(file, fetched), is_silent)
    }

    fn silent(&self, file: DueFile) -> Fetched {
        let mut judged = self.judged(file, Err(TomlError::TimedOut));
        // Nobody asked for it. It is due before the file that was asked for, or it would never have its turn.
        let now = self.clock.now();
        judged.result.next_check_at = now + (judged.result.next_check_at - now) / 2;
        judged
    }
}

/// Returns the wait before the next attempt at a file that failed so often before.
fn retry_after(failures: u32) -> TimeDelta {
    FIRST_RETRY.checked_mul(1 << failures.min(DOUBLINGS_MAX)).unwrap_or(GOOD_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_a_failing_file_doubles_up_to_a_bound() {
        let waits: Vec<i64> = [0, 1, 2, 10, 99].map(|failures| retry_after(failures).num_minutes()).to_vec();
        assert_eq!(waits, [1, 2, 4, 1_024, 1_024]);
    }
}
