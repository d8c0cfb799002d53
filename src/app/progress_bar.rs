//! Progress of filling history, as a bar on the terminal.

use std::{sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    domain::conversions::{Integer, SaturatingFrom},
    published::Published,
};

/// Interval between two redraws.
const REDRAW: Duration = Duration::from_millis(500);
/// Resolution of the bar.
const STEPS: u64 = 1_000;
const TEMPLATE: &str = "history [{bar:30}] {percent}% {msg}";

/// Draws the bar until history is complete.
pub(super) async fn draw(published: Arc<Published>) {
    let bar = ProgressBar::new(STEPS);
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    loop {
        actix_rt::time::sleep(REDRAW).await;
        let progress = published.vitals.backfill.load();
        let Some(progress) = progress.as_ref() else { continue };
        if progress.done_ratio >= 1.0 {
            bar.finish_and_clear();
            return;
        }
        let left = progress.eta_s.map_or_else(|| "?".to_owned(), |seconds| clock(seconds.ceil()));
        let back_to = progress.whole_back_to.map(|at| at.to_rfc3339()).unwrap_or_default();
        bar.set_message(format!(
            "{} trades, {}/s, back to {back_to}, {left} left",
            progress.trades, progress.trades_per_second
        ));
        bar.set_position(position(progress.done_ratio));
    }
}

/// Returns the bar's position for a ratio. NaN and negative ratios are 0.
fn position(ratio: f64) -> u64 {
    u64::saturating_from(ratio.clamp(0.0, 1.0) * STEPS.to_f64())
}

/// Formats seconds as `1:02:03`.
fn clock(seconds: f64) -> String {
    let seconds = u64::saturating_from(seconds);
    format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_and_times_as_people_read_them() {
        assert_eq!([0.0, 0.4567, 1.0, 7.0, f64::NAN].map(position), [0, 456, 1_000, 1_000, 0]);
        assert_eq!([0.0, 59.0, 3_723.0].map(clock), ["0:00:00", "0:00:59", "1:02:03"]);
    }
}
