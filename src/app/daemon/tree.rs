//! The tree of actors: who is in it, and who talks to whom.

use std::{rc::Rc, sync::Arc, time::Duration};

use super::nginx::Nginx;
use crate::{
    actors::{
        aggregator::{Aggregator, AggregatorDeps},
        asset_poller::AssetPoller,
        auditor::Auditor,
        backfiller::Backfiller,
        cleaner::Cleaner,
        json_writer::{FilePace, JsonWriter, JsonWriterDeps},
        lease_keeper::LeaseKeeper,
        messages::{AuditNow, PublicationReady, ReloadNginx},
        nginx_process::{NginxProcess, NginxRun},
        orderbook_poller::OrderbookPoller,
        port::Port,
        ranking::Ranking,
        stream_ingester::StreamIngester,
        supervision::{
            policy::Policy,
            status::ChildStatus,
            tree::{ChildSpec, Slot, Tree},
        },
        toml_checker::TomlChecker,
        trade_writer::Listeners,
        worker::{Work, Worker},
    },
    app::{Failure, common::Common},
    config::FileInterval,
    shutdown,
};

/// Messages in a mailbox.
const CAPACITY: usize = 16;
/// A child without progress for so long is restarted. All have a tick of a second or less, but a large load of the
/// windows or a look-up at a slow Horizon takes its time.
const STALE_AFTER: Duration = Duration::from_secs(180);

const fn spec(name: &'static str, drain_phase: usize) -> ChildSpec {
    ChildSpec { name, capacity: CAPACITY, stale_after: STALE_AFTER, drain_phase }
}

/// All mailboxes, before any actor is made: each can then be told of the others.
struct Slots {
    lease_keeper: Slot<LeaseKeeper>,
    stream_ingester: Slot<StreamIngester>,
    backfiller: Slot<Backfiller>,
    asset_poller: Slot<AssetPoller>,
    toml_checker: Slot<TomlChecker>,
    orderbook_poller: Slot<OrderbookPoller>,
    cleaner: Slot<Cleaner>,
    aggregator: Slot<Aggregator>,
    json_writer: Slot<JsonWriter>,
    auditor: Slot<Auditor>,
}

impl Slots {
    fn make(tree: &Tree) -> Self {
        Self {
            lease_keeper: tree.mailbox(spec("lease_keeper", shutdown::LEASE)),
            stream_ingester: tree.mailbox(spec("stream_ingester", shutdown::SOURCES)),
            backfiller: tree.mailbox(spec("backfiller", shutdown::SOURCES)),
            asset_poller: tree.mailbox(spec("asset_poller", shutdown::SOURCES)),
            toml_checker: tree.mailbox(spec("toml_checker", shutdown::SOURCES)),
            orderbook_poller: tree.mailbox(spec("orderbook_poller", shutdown::SOURCES)),
            cleaner: tree.mailbox(spec("cleaner", shutdown::SOURCES)),
            aggregator: tree.mailbox(spec("aggregator", shutdown::AGGREGATOR)),
            json_writer: tree.mailbox(spec("json_writer", shutdown::FILES)),
            auditor: tree.mailbox(spec("auditor", shutdown::SOURCES)),
        }
    }
}

/// The tree, and who of it is told something from outside.
pub(super) struct Planted {
    pub(super) tree: Tree,
    /// Who audits on demand.
    pub(super) auditor: Port<AuditNow>,
    /// Where nginx runs, who tells it to reload.
    pub(super) nginx: Option<Port<ReloadNginx>>,
}

/// Makes all mailboxes, then says how each actor is made.
pub(super) fn plant(common: &Common, nginx: Option<&Nginx>) -> Result<Planted, Failure> {
    let mut tree = Tree::new(Policy::default(), Arc::clone(&common.clock))
        .map_err(|error| Failure::Software(error.to_string()))?;
    let slots = Slots::make(&tree);
    let writer = slots.json_writer.port();
    let (checker, aggregator) = (slots.toml_checker.port(), slots.aggregator.port());
    let listeners =
        Listeners { aggregator: slots.aggregator.port(), asset_poller: slots.asset_poller.port() };
    let ranking = Ranking::Aggregator(slots.aggregator.port());
    let (history_listeners, books_ranking, files_ranking) =
        (listeners.clone(), ranking.clone(), ranking.clone());
    let (rebuilder, reloader) = (slots.aggregator.port(), slots.aggregator.port());
    let (rereader, auditor) = (slots.backfiller.port(), slots.auditor.port());
    place_lease_keeper(&mut tree, slots.lease_keeper, common);
    let mut place = Placer { tree: &mut tree, common };
    place.worker(slots.stream_ingester, |common, status| common.stream_ingest(Some(listeners), status));
    place.worker(slots.backfiller, |common, status| common.backfill(Some(history_listeners), status));
    place.worker(slots.asset_poller, |common, status| common.asset_poll(ranking, Some(checker), status));
    place.worker(slots.toml_checker, |common, status| {
        common.toml_check(files_ranking, Some(aggregator), status)
    });
    place.worker(slots.orderbook_poller, |common, status| common.orderbook_poll(books_ranking, status));
    place.worker(slots.cleaner, |common, status| common.clean(status));
    place.worker(slots.auditor, |common, status| common.audit(rebuilder, reloader, rereader, status));
    place_aggregator(&mut tree, slots.aggregator, common, writer);
    place_json_writer(&mut tree, slots.json_writer, common);
    let nginx = nginx.map(|nginx| place_nginx(&mut tree, nginx));
    Ok(Planted { tree, auditor, nginx })
}

/// Puts workers into the tree; each is made on its own thread.
struct Placer<'a> {
    tree: &'a mut Tree,
    common: &'a Common,
}

impl Placer<'_> {
    fn worker<W: Work>(
        &mut self,
        slot: Slot<Worker<W>>,
        make: impl FnOnce(Common, Arc<ChildStatus>) -> W + Send + 'static,
    ) {
        let (common, status) = (self.common.clone(), slot.status());
        self.tree.place(slot, move || Worker::new(make(common, status)));
    }
}

fn place_lease_keeper(tree: &mut Tree, slot: Slot<LeaseKeeper>, common: &Common) {
    let deps = common.lease_keeper(slot.status());
    tree.place(slot, move || LeaseKeeper::new(deps));
}

fn place_aggregator(
    tree: &mut Tree,
    slot: Slot<Aggregator>,
    common: &Common,
    writer: Port<PublicationReady>,
) {
    let deps = AggregatorDeps {
        database: common.database.clone(),
        published: Arc::clone(&common.published),
        writer,
        clock: Arc::clone(&common.clock),
        run_began: common.began,
        publish_interval: common.config.publish_interval,
        status: slot.status(),
    };
    tree.place(slot, move || Aggregator::new(deps));
}

fn place_json_writer(tree: &mut Tree, slot: Slot<JsonWriter>, common: &Common) {
    let pace = match common.config.file_interval {
        FileInterval::Auto => FilePace::Auto,
        FileInterval::Every(interval) => FilePace::Every(interval),
    };
    let deps = JsonWriterDeps { directory: common.config.output_dir.clone(), pace, status: slot.status() };
    tree.place(slot, move || JsonWriter::new(deps));
}

fn place_nginx(tree: &mut Tree, nginx: &Nginx) -> Port<ReloadNginx> {
    let slot: Slot<NginxProcess> = tree.mailbox(spec("nginx", shutdown::NGINX.0));
    let (place, is_open) = (nginx.place.clone(), nginx.is_open.clone());
    let (port, status) = (slot.port(), slot.status());
    tree.place(slot, move || Worker::new(NginxRun { place, is_open, reload: Rc::default(), status }));
    port
}
