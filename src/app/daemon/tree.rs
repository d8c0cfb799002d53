//! The actor tree: all actors, and the ports that connect them.

use std::{rc::Rc, sync::Arc, time::Duration};

use super::nginx::Nginx;
use crate::{
    actors::{
        aggregator::{Aggregator, AggregatorDeps},
        asset_poller::AssetPoller,
        auditor::Auditor,
        backfiller::Backfiller,
        cleaner::Cleaner,
        json_writer::{FilePace, JsonWriter, JsonWriterDeps, ViewSource},
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
        trace::crash::CrashFiles,
        trade_writer::Listeners,
        worker::{Work, Worker},
    },
    app::{CommandError, services::Services},
    config::FileInterval,
    shutdown,
};

/// Messages that fit into a mailbox.
const CAPACITY: usize = 16;
/// Directory of crash files in the data directory.
pub(super) const CRASH_DIR: &str = "crash";
/// Sender of what an operator asks the admin listener for.
const ADMIN: &str = "admin";
/// Sender of what a signal of the system asks for.
const SIGNALS: &str = "signals";
/// Time without progress after which a child is restarted. All have a tick of a second or less, but a large load of the
/// windows or a request to a slow Horizon takes long.
const STALE_AFTER: Duration = Duration::from_secs(180);

const fn spec(name: &'static str, drain_phase: usize) -> ChildSpec {
    ChildSpec { name, capacity: CAPACITY, stale_after: STALE_AFTER, drain_phase }
}

/// All mailboxes. They exist before any actor, so that each actor can get ports to the others.
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

/// The tree, and the ports that the rest of the daemon uses.
pub(super) struct DaemonTree {
    pub(super) tree: Tree,
    /// Port for audits on demand.
    pub(super) auditor: Port<AuditNow>,
    /// Port that makes nginx reload its configuration; none without `--nginx`.
    pub(super) nginx: Option<Port<ReloadNginx>>,
}

/// Builds the tree: creates all mailboxes, then registers how each actor is made.
pub(super) fn build(services: &Services, nginx: Option<&Nginx>) -> Result<DaemonTree, CommandError> {
    let clock = Arc::clone(&services.clock);
    let mut tree = Tree::new(Policy::default(), clock, Arc::clone(&services.recorder))
        .map_err(|error| CommandError::Software(error.to_string()))?;
    let crashes = CrashFiles::new(services.config.data_dir.join(CRASH_DIR), Arc::clone(&services.recorder));
    tree.write_crash_files(Arc::new(crashes));
    let slots = Slots::make(&tree);
    let writer = slots.json_writer.port(slots.aggregator.name());
    let checker = slots.toml_checker.port(slots.asset_poller.name());
    let aggregator = slots.aggregator.port(slots.toml_checker.name());
    let listeners = |from| Listeners {
        aggregator: slots.aggregator.port(from),
        asset_poller: slots.asset_poller.port(from),
    };
    let (listeners, history_listeners) =
        (listeners(slots.stream_ingester.name()), listeners(slots.backfiller.name()));
    let ranking = |from| Ranking::Aggregator(slots.aggregator.port(from));
    let (ranking, books_ranking, files_ranking) = (
        ranking(slots.asset_poller.name()),
        ranking(slots.orderbook_poller.name()),
        ranking(slots.toml_checker.name()),
    );
    let self_audit = slots.auditor.name();
    let (rebuilder, reloader) = (slots.aggregator.port(self_audit), slots.aggregator.port(self_audit));
    let (rereader, auditor) = (slots.backfiller.port(self_audit), slots.auditor.port(ADMIN));
    place_lease_keeper(&mut tree, slots.lease_keeper, services);
    let mut place = WorkerPlacer { tree: &mut tree, services };
    place.worker(slots.stream_ingester, |services, status| services.stream_ingest(Some(listeners), status));
    place.worker(slots.backfiller, |services, status| services.backfill(Some(history_listeners), status));
    place.worker(slots.asset_poller, |services, status| services.asset_poll(ranking, Some(checker), status));
    place.worker(slots.toml_checker, |services, status| {
        services.toml_check(files_ranking, Some(aggregator), status)
    });
    place.worker(slots.orderbook_poller, |services, status| services.orderbook_poll(books_ranking, status));
    place.worker(slots.cleaner, |services, status| services.clean(status));
    place.worker(slots.auditor, |services, status| services.audit(rebuilder, reloader, rereader, status));
    place_aggregator(&mut tree, slots.aggregator, services, writer);
    place_json_writer(&mut tree, slots.json_writer, services);
    let nginx = nginx.map(|nginx| place_nginx(&mut tree, nginx));
    Ok(DaemonTree { tree, auditor, nginx })
}

/// Adds workers to the tree. Each worker is made on its own thread.
struct WorkerPlacer<'a> {
    tree: &'a mut Tree,
    services: &'a Services,
}

impl WorkerPlacer<'_> {
    fn worker<W: Work>(
        &mut self,
        slot: Slot<Worker<W>>,
        make: impl FnOnce(Services, Arc<ChildStatus>) -> W + Send + 'static,
    ) {
        let (services, status) = (self.services.clone(), slot.status());
        self.tree.place(slot, move || Worker::new(make(services, status)));
    }
}

fn place_lease_keeper(tree: &mut Tree, slot: Slot<LeaseKeeper>, services: &Services) {
    let deps = services.lease_keeper(slot.status());
    tree.place(slot, move || LeaseKeeper::new(deps));
}

fn place_aggregator(
    tree: &mut Tree,
    slot: Slot<Aggregator>,
    services: &Services,
    writer: Port<PublicationReady>,
) {
    let deps = AggregatorDeps {
        database: services.database.clone(),
        published: Arc::clone(&services.published),
        writer,
        clock: Arc::clone(&services.clock),
        run_began: services.began,
        publish_interval: services.config.publish_interval,
        status: slot.status(),
    };
    tree.place(slot, move || Aggregator::new(deps));
}

fn place_json_writer(tree: &mut Tree, slot: Slot<JsonWriter>, services: &Services) {
    let pace = match services.config.file_interval {
        FileInterval::Auto => FilePace::Auto,
        FileInterval::Every(interval) => FilePace::Every(interval),
    };
    let anchors = services.config.usd_anchors.iter().filter_map(|anchor| anchor.parse().ok());
    let source = ViewSource {
        passphrase: services.config.network_passphrase.as_str().into(),
        anchors: anchors.collect(),
    };
    let deps = JsonWriterDeps {
        source,
        directory: services.config.output_dir.clone(),
        pace,
        published: Arc::clone(&services.published),
        clock: Arc::clone(&services.clock),
        status: slot.status(),
    };
    tree.place(slot, move || JsonWriter::new(deps));
}

fn place_nginx(tree: &mut Tree, nginx: &Nginx) -> Port<ReloadNginx> {
    let slot: Slot<NginxProcess> = tree.mailbox(spec("nginx", shutdown::NGINX.0));
    let (place, is_open) = (nginx.place.clone(), nginx.is_open.clone());
    let (port, status) = (slot.port(SIGNALS), slot.status());
    tree.place(slot, move || Worker::new(NginxRun { place, is_open, reload: Rc::default(), status }));
    port
}
