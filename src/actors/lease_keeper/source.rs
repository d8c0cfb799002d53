//! Sight of the source of new trades. A leader that has been without it for long marks the lease, and a follower that
//! sees the source takes over.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    actors::{
        services::{Services, lake_settings, live_address},
        supervision::status::ChildStatus,
    },
    domain::ledger_source::LedgerSource,
    horizon::client::PageOrder,
    lake::Lake,
    published::{LakeUse, Vitals},
};

/// Time limit of a look at the source.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two looks: a request each, while a leader cannot read new trades.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Interval at which the mark of the leader is read.
const MARK_POLL: Duration = Duration::from_secs(1);

/// Returns true if a leader has been without new trades, and without their source, for `after`. `led_for` is the time
/// for which it leads: its last report may be from an earlier lease.
pub(super) fn is_blind(vitals: &Vitals, led_for: Duration, after: Duration, now: DateTime<Utc>) -> bool {
    let after_s = TimeDelta::from_std(after).unwrap_or(TimeDelta::MAX);
    let stream = vitals.stream.load();
    let has_no_stream =
        stream.as_ref().is_some_and(|stream| !stream.ok && now.signed_duration_since(stream.at) >= after_s);
    led_for >= after && has_no_stream && is_source_out(vitals)
}

/// Returns true if the source of new trades cannot be reached. One that answers is no better elsewhere, such as one of
/// another network, or a lake that is late.
fn is_source_out(vitals: &Vitals) -> bool {
    match **vitals.live_source.load() {
        LedgerSource::Horizon => {
            vitals.horizon.load().as_ref().is_some_and(|horizon| horizon.fault().is_some())
        }
        LedgerSource::Lake | LedgerSource::Rpc => {
            vitals.lake.load().is_some_and(|lake| lake.outages.of(LakeUse::Recent).is_some())
        }
    }
}

/// Looks of a follower at the source, while its leader cannot read new trades.
#[derive(Clone, Default)]
pub(super) struct Looks {
    /// True if the lease had the mark of such a leader when it was last asked for.
    pub(super) leader_is_blind: Rc<Cell<bool>>,
    /// True if the source answered the last look.
    sees_source: Rc<Cell<bool>>,
}

impl Looks {
    /// Returns true if this replica may take the lease from its leader.
    pub(super) fn permit_take_over(&self) -> bool {
        self.leader_is_blind.get() && self.sees_source.get()
    }

    /// Looks at the source while the leader is blind. Never returns.
    pub(super) async fn keep(self, services: Services, status: Arc<ChildStatus>) {
        loop {
            if self.leader_is_blind.get() {
                let looked = tokio::time::timeout(LOOK_TIMEOUT, sees_source(&services, &status)).await;
                self.sees_source.set(looked.unwrap_or_default());
                actix_rt::time::sleep(LOOK_EVERY).await;
            } else {
                self.sees_source.set(false); // what was seen in an earlier outage says nothing about this one
                actix_rt::time::sleep(MARK_POLL).await;
            }
        }
    }
}

/// Returns true if the source of new trades gives ledgers or trades, and has the network of this replica.
async fn sees_source(services: &Services, status: &Arc<ChildStatus>) -> bool {
    let config = &services.config;
    match live_address(config) {
        None => {
            let horizon = services.horizon(status);
            let root = horizon.root().await;
            // A Horizon with a slow database may answer this alone.
            root.is_ok_and(|root| root.network_passphrase == config.network_passphrase)
                && horizon.trades_page(None, PageOrder::Descending, 1).await.is_ok()
        }
        Some(address) => match Lake::new(&lake_settings(config, address)) {
            // Many lakes have no listing, which alone names a ledger to begin with.
            Ok(lake) => lake.newest(newest_held(services).await).await.is_ok(),
            Err(_) => false,
        },
    }
}

/// Newest held ledger, of a database that may not answer.
async fn newest_held(services: &Services) -> Option<u32> {
    services.database.coverage().await.ok()?.last().map(|newest| newest.to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::published::HorizonState;

    const AFTER: Duration = Duration::from_secs(60);

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn without_horizon() -> Vitals {
        let vitals = Vitals::default();
        let outage = Some((at(1_000), "refused".to_owned()));
        vitals.horizon.store(Some(Arc::new(HorizonState {
            url: "http://h".into(),
            outage,
            was_answered: true,
        })));
        vitals.stream.fails("connect", at(1_000));
        vitals
    }

    #[test]
    fn a_leader_is_blind_after_a_minute_without_its_source() {
        let vitals = without_horizon();
        assert!(is_blind(&vitals, AFTER, AFTER, at(1_060)));
        assert!(!is_blind(&vitals, AFTER, AFTER, at(1_059)));
        let led_for = Duration::from_secs(59);
        assert!(!is_blind(&vitals, led_for, AFTER, at(1_060)), "the fault is of an earlier lease");
        vitals.stream.succeeds("connected", at(1_061));
        assert!(!is_blind(&vitals, AFTER, AFTER, at(2_000)));
    }

    #[test]
    fn a_live_lake_that_is_late_or_a_history_lake_that_fails_makes_no_leader_blind() {
        let late = |source: LedgerSource, recent: bool| {
            let vitals = Vitals::default();
            vitals.live_source.store(Arc::new(source));
            vitals.stream.fails("quiet", at(1_000));
            vitals.lake.update(|lake| {
                lake.behind = Some(at(1_000));
                let reader = if recent { LakeUse::Recent } else { LakeUse::History };
                lake.outages.note(reader, at(1_000), "file:///lake", "gone".to_owned());
            });
            is_blind(&vitals, AFTER, AFTER, at(2_000))
        };
        assert!(!late(LedgerSource::Lake, false) && !late(LedgerSource::Horizon, true));
        assert!(late(LedgerSource::Lake, true));
    }

    #[test]
    fn a_source_that_answers_makes_no_leader_blind() {
        let vitals = without_horizon();
        let answers = HorizonState { url: "http://h".into(), outage: None, was_answered: true };
        vitals.horizon.store(Some(Arc::new(answers)));
        assert!(!is_blind(&vitals, AFTER, AFTER, at(2_000)), "it may serve another network");
    }

    #[test]
    fn only_a_follower_of_a_blind_leader_that_sees_the_source_may_take_over() {
        for (leader_is_blind, sees_source) in [(false, false), (false, true), (true, false), (true, true)] {
            let looks = Looks::default();
            looks.leader_is_blind.set(leader_is_blind);
            looks.sees_source.set(sees_source);
            assert_eq!(looks.permit_take_over(), leader_is_blind && sees_source);
        }
    }
}
