//! Filling of history once, for the command `ingest trades`.

use super::{Backfill, HistoryError, Progress, Upstream};
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
    /// A text: the database failed, the network is wrong or was reset, or Horizon failed too often in a row.
    pub async fn fill_once(&self, context: &WorkContext) -> Result<(), String> {
        let (upstream, mut progress) = (Upstream::default(), Progress::default());
        let (mut retry, mut failures) = (Retry::default(), 0);
        loop {
            let round = async {
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
