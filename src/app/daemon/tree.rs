//! The actor tree: the one list of all actors, and which of them receives which message.

use std::{sync::Arc, time::Duration};

use crate::{
    actors::{
        aggregator::Aggregator,
        asset_poller::AssetPoller,
        auditor::Auditor,
        backfiller::Backfiller,
        book_fetcher::BookFetcher,
        candle_keeper::CandleKeeper,
        cleaner::Cleaner,
        json_writer::JsonWriter,
        lease_keeper::LeaseKeeper,
        messages::{AuditNow, FetchBook, ReloadNginx},
        nginx_process::NginxProcess,
        orderbook_poller::OrderbookPoller,
        port::Port,
        receivers::Receivers,
        services::Services,
        stream_ingester::StreamIngester,
        supervision::{
            policy::Policy,
            tree::{ChildSpec, Slot, Tree},
        },
        toml_checker::TomlChecker,
        trace::crash::CrashFiles,
        trace_exporter::TraceExporter,
        wiring::{DaemonActor, Wiring},
    },
    app::{CommandError, test_hooks},
    published::Part,
};

/// Messages that fit into a mailbox.
const CAPACITY: usize = 16;
/// Directory of crash files in the data directory.
pub(super) const CRASH_DIR: &str = "crash";
/// Sender of what an operator asks the admin listener for.
const ADMIN: &str = "admin";
/// Sender of what a reader of the API asks for.
const READERS: &str = "http";
/// Sender of what a signal of the system asks for.
const SIGNALS: &str = "signals";
/// Time without progress after which a child is restarted. All have a tick of a second or less, but a large load of the
/// windows or a request to a slow Horizon takes long.
const STALE_AFTER: Duration = Duration::from_secs(180);

/// Makes the mailboxes, the actors and the list of their parts in `/readyz` from the list of the actors.
macro_rules! actors {
    ($($slot:ident: $actor:ty,)*) => {
        /// All mailboxes. They exist before any actor, so that each actor can get ports to the others.
        struct Slots {
            $($slot: Slot<$actor>,)*
        }

        impl Slots {
            fn make(tree: &Tree) -> Self {
                Self { $($slot: mailbox(tree),)* }
            }

            fn place(self, tree: &mut Tree, wiring: &Wiring) {
                $(place(tree, self.$slot, wiring);)*
            }
        }

        /// Name of each actor, and its part in `/readyz`.
        pub(super) const PARTS: &[(&str, Option<Part>)] =
            &[$((<$actor as DaemonActor>::NAME, <$actor as DaemonActor>::PART),)*];
    };
}

actors! {
    lease_keeper: LeaseKeeper,
    stream_ingester: StreamIngester,
    backfiller: Backfiller,
    asset_poller: AssetPoller,
    toml_checker: TomlChecker,
    orderbook_poller: OrderbookPoller,
    book_fetcher: BookFetcher,
    cleaner: Cleaner,
    candle_keeper: CandleKeeper,
    auditor: Auditor,
    aggregator: Aggregator,
    json_writer: JsonWriter,
    trace_exporter: TraceExporter,
    nginx: NginxProcess,
}

impl Slots {
    fn receivers(&self) -> Receivers {
        Receivers {
            trades_committed: self.aggregator.receiver(),
            assets_committed: self.aggregator.receiver(),
            rank_markets: self.aggregator.receiver(),
            rebuild_markets: self.aggregator.receiver(),
            reload_directory: self.aggregator.receiver(),
            assets_seen: self.asset_poller.receiver(),
            assets_looked_up: self.toml_checker.receiver(),
            reread_ledgers: self.backfiller.receiver(),
            publication_ready: self.json_writer.receiver(),
            audit_now: self.auditor.receiver(),
            fetch_book: self.book_fetcher.receiver(),
            reload_nginx: self.nginx.receiver(),
        }
    }
}

/// The tree, and the ports that the rest of the daemon uses.
pub(super) struct DaemonTree {
    pub(super) tree: Tree,
    /// Port for audits on demand.
    pub(super) auditor: Port<AuditNow>,
    /// Port for order books that readers ask for.
    pub(super) books: Port<FetchBook>,
    /// Port that makes nginx reload its configuration; none without `--nginx`.
    pub(super) nginx: Option<Port<ReloadNginx>>,
}

/// Builds the tree: creates all mailboxes, then registers how each actor is made.
pub(super) fn build(services: &Services) -> Result<DaemonTree, CommandError> {
    let (clock, recorder) = (Arc::clone(&services.clock), Arc::clone(&services.recorder));
    let crashes = CrashFiles::new(services.config.data_dir.join(CRASH_DIR), Arc::clone(&recorder));
    let mut tree = Tree::new(Policy::default(), clock, recorder)
        .map_err(|error| CommandError::Software(error.to_string()))?;
    tree.write_crash_files(Arc::new(crashes));
    // The book fetcher checks Horizon's network. Nothing that depends on that may come before its first check.
    services.limiter.expect_network_checks();
    let slots = Slots::make(&tree);
    let receivers = slots.receivers();
    let auditor = receivers.audit_now.port(ADMIN);
    let books = receivers.fetch_book.port(READERS);
    let nginx = services.nginx.as_ref().map(|_| receivers.reload_nginx.port(SIGNALS));
    slots.place(&mut tree, &Wiring { services: services.clone(), receivers });
    Ok(DaemonTree { tree, auditor, books, nginx })
}

fn mailbox<A: DaemonActor>(tree: &Tree) -> Slot<A> {
    tree.mailbox(ChildSpec {
        name: A::NAME,
        capacity: CAPACITY,
        stale_after: test_hooks::stale_after().unwrap_or(STALE_AFTER),
        drain_phase: A::DRAIN_PHASE,
        is_essential: A::IS_ESSENTIAL,
    })
}

/// Registers how an actor is made, if it is wanted.
fn place<A: DaemonActor>(tree: &mut Tree, slot: Slot<A>, wiring: &Wiring) {
    if A::is_wanted(&wiring.services) {
        let (wiring, status) = (wiring.clone(), slot.status());
        tree.place(slot, move || A::make(&wiring, status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::admin, instruments::table::PART_CHECKS};

    /// Actors that neither send nor receive messages.
    const ALONE: [&str; 1] = ["trace_exporter"];

    #[test]
    fn the_parts_of_the_actors_are_those_of_the_metrics() {
        let mut parts: Vec<&str> = PARTS.iter().filter_map(|(_, part)| Some(part.as_ref()?.name)).collect();
        let mut listed = PART_CHECKS.to_vec();
        parts.sort_unstable();
        listed.sort_unstable();
        assert_eq!(parts, listed, "the parts of the actors, and PART_CHECKS (right)");
    }

    #[test]
    fn every_sender_and_receiver_has_a_place_in_the_picture_of_the_actors() {
        let actors = PARTS.iter().map(|(name, _)| *name).filter(|name| !ALONE.contains(name));
        let without: Vec<&str> =
            actors.chain([ADMIN, READERS, SIGNALS]).filter(|name| !admin::has_place(name)).collect();
        assert!(without.is_empty(), "{without:?}");
    }
}
