//! A running child, as the supervisor sees it.

use std::{sync::Arc, time::Duration};

use actix::Recipient;
use actix_rt::Arbiter;
use tokio::sync::mpsc::UnboundedSender;

use super::{
    messages::{Drain, Order, Ping},
    status::ChildStatus,
};

/// Parameters of a child that the supervisor must know before it starts.
#[derive(Clone, Copy, Debug)]
pub struct ChildSpec {
    /// Name, as in logs.
    pub name: &'static str,
    /// Most messages in its mailbox.
    pub capacity: usize,
    /// Longest time between two steps of its work ([`ChildStatus::advance`]). A child that exceeds it is restarted.
    pub stale_after: Duration,
    /// Phase of the drain in which it finishes.
    pub drain_phase: usize,
    /// False if the process is of use without the child. Its restarts then have delays but no limit.
    pub is_essential: bool,
}

/// A running child as the supervisor sees it.
pub(crate) struct Running {
    pub(crate) spec: ChildSpec,
    pub(crate) status: Arc<ChildStatus>,
    pub(crate) ping: Recipient<Ping>,
    pub(crate) drain: Recipient<Drain>,
    pub(crate) orders: UnboundedSender<Order>,
    /// Its thread. It ends when this is dropped.
    pub(crate) _arbiter: Arbiter,
}
