//! The tree of actors: who is in it, and who talks to whom.

use std::{sync::Arc, time::Duration};

use tracing::error;

use super::horizon_settings;
use crate::{
    actors::{
        aggregator::{Aggregator, AggregatorDeps},
        asset_poller::{AssetPoller, AssetPollerDeps},
        json_writer::{FilePace, JsonWriter, JsonWriterDeps},
        leadership::Leadership,
        lease_keeper::{LeaseKeeper, LeaseKeeperDeps},
        messages::{AssetsCommitted, AssetsSeen, PublicationReady, TradesCommitted},
        port::Port,
        stream_ingester::{StreamIngester, StreamIngesterDeps},
        supervision::{
            policy::Policy,
            tree::{ChildSpec, Slot, Tree},
        },
    },
    app::Failure,
    clock::SharedClock,
    config::{Config, EXIT_CONFIG, FileInterval, TESTNET_PASSPHRASE},
    db::Database,
    horizon::{HorizonClient, client::HorizonSettings},
    published::Published,
    shutdown,
};

/// Messages in a mailbox.
const CAPACITY: usize = 16;
/// A child without progress for so long is restarted. All have a tick of a second or less, but a large load of the
/// windows or a lookup at a slow Horizon takes its time.
const STALE_AFTER: Duration = Duration::from_secs(180);

const fn spec(name: &'static str, drain_phase: usize) -> ChildSpec {
    ChildSpec { name, capacity: CAPACITY, stale_after: STALE_AFTER, drain_phase }
}

/// What most actors work with.
#[derive(Clone)]
struct Common {
    database: Database,
    published: Arc<Published>,
    clock: SharedClock,
    leadership: Leadership,
}

/// Makes all mailboxes, then says how each actor is made.
pub(super) fn plant(
    config: &Config,
    database: &Database,
    published: &Arc<Published>,
    clock: &SharedClock,
) -> Result<Tree, Failure> {
    let mut tree = Tree::new(Policy::default(), Arc::clone(clock))
        .map_err(|error| Failure::Software(error.to_string()))?;
    let keeper = tree.mailbox::<LeaseKeeper>(spec("lease_keeper", shutdown::LEASE));
    let ingester = tree.mailbox::<StreamIngester>(spec("stream_ingester", shutdown::SOURCES));
    let poller = tree.mailbox::<AssetPoller>(spec("asset_poller", shutdown::SOURCES));
    let aggregator = tree.mailbox::<Aggregator>(spec("aggregator", shutdown::AGGREGATOR));
    let writer = tree.mailbox::<JsonWriter>(spec("json_writer", shutdown::FILES));
    let ports = Ports {
        trades_committed: aggregator.port(),
        assets_committed: aggregator.port(),
        assets_seen: poller.port(),
        publication_ready: writer.port(),
    };
    let common = Common {
        database: database.clone(),
        published: Arc::clone(published),
        clock: Arc::clone(clock),
        leadership: Leadership::new(Arc::clone(clock)),
    };
    place_lease_keeper(&mut tree, keeper, common.clone());
    place_stream_ingester(&mut tree, ingester, common.clone(), &ports, config);
    place_asset_poller(&mut tree, poller, common.clone(), &ports, config);
    place_aggregator(&mut tree, aggregator, common, &ports, config);
    place_json_writer(&mut tree, writer, config);
    Ok(tree)
}

/// Who is told what.
struct Ports {
    trades_committed: Port<TradesCommitted>,
    assets_committed: Port<AssetsCommitted>,
    assets_seen: Port<AssetsSeen>,
    publication_ready: Port<PublicationReady>,
}

fn place_lease_keeper(tree: &mut Tree, slot: Slot<LeaseKeeper>, common: Common) {
    let replica_id = format!("{:016x}", rand::random::<u64>());
    common.published.vitals.replica_id.store(Some(Arc::new(replica_id.clone())));
    let Common { database, published, clock, leadership } = common;
    let deps = LeaseKeeperDeps { database, leadership, replica_id, clock, published, status: slot.status() };
    tree.place(slot, move || LeaseKeeper::new(deps));
}

fn place_stream_ingester(
    tree: &mut Tree,
    slot: Slot<StreamIngester>,
    common: Common,
    ports: &Ports,
    config: &Config,
) {
    let Common { database, published, clock, leadership } = common;
    let (aggregator, asset_poller) = (ports.trades_committed.clone(), ports.assets_seen.clone());
    let (network_passphrase, retention_days) =
        (config.network_passphrase.clone(), i64::from(config.retention_days));
    let (status, horizon) = (slot.status(), horizon_settings(config));
    tree.place(slot, move || {
        StreamIngester::new(StreamIngesterDeps {
            horizon: client(horizon),
            database,
            leadership,
            aggregator,
            asset_poller,
            clock,
            published,
            network_passphrase,
            retention_days,
            status,
        })
    });
}

fn place_asset_poller(
    tree: &mut Tree,
    slot: Slot<AssetPoller>,
    common: Common,
    ports: &Ports,
    config: &Config,
) {
    let Common { database, clock, leadership, .. } = common;
    let aggregator = ports.assets_committed.clone();
    let links_count = config.network_passphrase != TESTNET_PASSPHRASE;
    let (status, horizon) = (slot.status(), horizon_settings(config));
    tree.place(slot, move || {
        let horizon = client(horizon);
        AssetPoller::new(AssetPollerDeps {
            horizon,
            database,
            leadership,
            aggregator,
            clock,
            links_count,
            status,
        })
    });
}

fn place_aggregator(tree: &mut Tree, slot: Slot<Aggregator>, common: Common, ports: &Ports, config: &Config) {
    let Common { database, published, clock, .. } = common;
    let (writer, publish_interval) = (ports.publication_ready.clone(), config.publish_interval);
    let deps = AggregatorDeps { database, published, writer, clock, publish_interval, status: slot.status() };
    tree.place(slot, move || Aggregator::new(deps));
}

fn place_json_writer(tree: &mut Tree, slot: Slot<JsonWriter>, config: &Config) {
    let pace = match config.file_interval {
        FileInterval::Auto => FilePace::Auto,
        FileInterval::Every(interval) => FilePace::Every(interval),
    };
    let deps = JsonWriterDeps { directory: config.output_dir.clone(), pace, status: slot.status() };
    tree.place(slot, move || JsonWriter::new(deps));
}

/// awc's client belongs to the thread that makes it, so this runs on the actor's own. That the settings can be used was
/// seen before, when the network was checked.
fn client(settings: HorizonSettings) -> HorizonClient {
    HorizonClient::new(settings).unwrap_or_else(|error| {
        error!(%error, "the client for horizon cannot be made");
        std::process::exit(EXIT_CONFIG.into())
    })
}
