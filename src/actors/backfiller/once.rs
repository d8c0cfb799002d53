//! History filled once, for a command.

use super::{Backfill, Progress, Stop, Upstream};
use crate::{
    actors::{network_check::Unusable, worker::WorkContext},
    horizon::retry::Retry,
};

/// A command that fills history once gives up after so many failures in a row.
const FAILURES_MAX: u32 = 10;

impl Backfill {
    /// Reads all history that is wanted and missing, and comes back.
    ///
    /// # Errors
    ///
    /// In words: the database refuses, another network is served, or Horizon failed too often in a row.
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
                    stop @ (Stop::NotWritten(_)
                    | Stop::Unusable(Unusable::WrongNetwork(_) | Unusable::HistoryReset { .. })),
                ) => {
                    return Err(stop.to_string());
                }
                Err(stop) if failures >= FAILURES_MAX => return Err(stop.to_string()),
                Err(stop) => {
                    failures += 1;
                    self.wait_after(&stop, &mut retry, context, &upstream).await;
                }
            }
        }
    }
}
