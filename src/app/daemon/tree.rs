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
        stream_ingester::{StreamIngester, StreamIngesterDeps},
        supervision::{
            policy::Policy,
            tree::{ChildSpec, Tree},
        },
    },
    app::Failure,
    clock::SharedClock,
    config::{Config, FileInterval},
    db::Database,
    horizon::HorizonClient,
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

    let leadership = Leadership::new(Arc::clone(clock));
    let replica_id = format!("{:016x}", rand::random::<u64>());
    published.vitals.replica_id.store(Some(Arc::new(replica_id.clone())));
    let trades_committed = aggregator.port::<TradesCommitted>();
    let assets_committed = aggregator.port::<AssetsCommitted>();
    let assets_seen = poller.port::<AssetsSeen>();
    let publication_ready = writer.port::<PublicationReady>();

    let deps = LeaseKeeperDeps {
        database: database.clone(),
        leadership: leadership.clone(),
        replica_id,
        clock: Arc::clone(clock),
        published: Arc::clone(published),
        status: keeper.status(),
    };
    tree.place(keeper, move || LeaseKeeper::new(deps));

    // awc's client belongs to the thread that makes it.
    let horizon = horizon_settings(config);
    let make_client = move || {
        HorizonClient::new(horizon.clone()).unwrap_or_else(|error| {
            error!(%error, "the client for horizon cannot be made");
            std::process::exit(crate::config::EXIT_CONFIG.into())
        })
    };
    let (database_of_ingester, leadership_of_ingester) = (database.clone(), leadership.clone());
    let (clock_of_ingester, published_of_ingester) = (Arc::clone(clock), Arc::clone(published));
    let (network_passphrase, retention_days) =
        (config.network_passphrase.clone(), i64::from(config.retention_days));
    let (status, make) = (ingester.status(), make_client.clone());
    tree.place(ingester, move || {
        StreamIngester::new(StreamIngesterDeps {
            horizon: make(),
            database: database_of_ingester,
            leadership: leadership_of_ingester,
            aggregator: trades_committed,
            asset_poller: assets_seen,
            clock: clock_of_ingester,
            published: published_of_ingester,
            network_passphrase,
            retention_days,
            status,
        })
    });

    let (database_of_poller, clock_of_poller, status) =
        (database.clone(), Arc::clone(clock), poller.status());
    let links_count = config.network_passphrase != crate::config::TESTNET_PASSPHRASE;
    tree.place(poller, move || {
        AssetPoller::new(AssetPollerDeps {
            horizon: make_client(),
            database: database_of_poller,
            leadership,
            aggregator: assets_committed,
            clock: clock_of_poller,
            links_count,
            status,
        })
    });

    let deps = AggregatorDeps {
        database: database.clone(),
        published: Arc::clone(published),
        writer: publication_ready,
        clock: Arc::clone(clock),
        publish_interval: config.publish_interval,
        status: aggregator.status(),
    };
    tree.place(aggregator, move || Aggregator::new(deps));

    let pace = match config.file_interval {
        FileInterval::Auto => FilePace::Auto,
        FileInterval::Every(interval) => FilePace::Every(interval),
    };
    let deps = JsonWriterDeps { directory: config.output_dir.clone(), pace, status: writer.status() };
    tree.place(writer, move || JsonWriter::new(deps));
    Ok(tree)
}
