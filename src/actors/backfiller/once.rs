//! Filling of history once, for the command `ingest trades`.

use super::{Backfill, HistoryError, Progress, Upstream, lake_fill::LakeTail};
use crate::{
    actors::{network_check::NetworkError, worker::WorkContext},
    outbound::retry::Retry,
};

/// Failures in a row after which the command gives up.
const FAILURES_MAX: u32 = 10;

impl Backfill {
    /// Reads all wanted history that is missing.
    ///
    /// # Errors
    ///
    /// A text: the database failed, the network is wrong or was reset, or Horizon or the lake failed too often in a row.
    pub async fn fill_once(&self, context: &WorkContext) -> Result<(), String> {
        let (upstream, mut progress) = (Upstream::default(), Progress::default());
        let tail = LakeTail::default();
        let (mut retry, mut failures) = (Retry::default(), 0);
        loop {
            let round = async {
                if let Some(reader) = self.lake.as_ref().filter(|_| self.is_from_lake) {
                    self.read_lake_tail(reader, context, &upstream, &tail).await?;
                    let is_read = self.fill_from_lake(reader, context, &upstream, &mut progress).await?;
                    return Ok(is_read && self.fill_left(context, &upstream).await?);
                }
                self.read_tail(context, &upstream).await?;
                self.fill(context, &upstream, &mut progress).await
            };
            match round.await {
                Ok(true) => return Ok(()),
                Ok(false) => (retry, failures) = (Retry::default(), 0),
                Err(
                    error @ (HistoryError::Write(_)
                    | HistoryError::Network(
                        NetworkError::WrongNetwork(_) | NetworkError::HistoryReset { .. },
                    )),
                ) => {
                    return Err(error.to_string());
                }
                Err(error) if failures >= FAILURES_MAX => return Err(error.to_string()),
                Err(error) => {
                    failures += 1;
                    self.wait_after(&error, &mut retry, context, &upstream).await;
                }
            }
        }
    }
}
