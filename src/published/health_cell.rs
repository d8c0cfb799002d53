//! Last report of a part, which any thread may read.

use std::sync::Arc;

use actor_tree::health::Health;
use arc_swap::{ArcSwapOption, Guard};
use chrono::{DateTime, Utc};

/// Last report of a part. Empty until the part has reported.
#[derive(Debug, Default)]
pub struct HealthCell(ArcSwapOption<Health>);

impl HealthCell {
    /// The last report.
    #[must_use]
    pub fn load(&self) -> Guard<Option<Arc<Health>>> {
        self.0.load()
    }

    /// Reports that the part works.
    pub fn succeeds(&self, detail: impl Into<String>, now: DateTime<Utc>) {
        self.0.store(Some(Arc::new(Health::succeeded(detail, now))));
    }

    /// Reports that the part fails. A continuing fault keeps the time when it began.
    pub fn fails(&self, detail: impl Into<String>, now: DateTime<Utc>) {
        let failed = Health::failed(self.0.load().as_deref(), detail, now);
        self.0.store(Some(Arc::new(failed)));
    }

    /// Forgets the report.
    pub fn clear(&self) {
        self.0.store(None);
    }
}
