//! How the filling of history goes, as a bar for whoever sits at the terminal.

use std::{sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::published::Published;

/// How often it is drawn.
const REDRAW: Duration = Duration::from_millis(500);
/// The bar's length in steps.
const STEPS: u64 = 1_000;
const TEMPLATE: &str = "history [{bar:30}] {percent}% {msg}";

/// Draws the bar until all is held. Never ends otherwise.
pub(super) async fn draw(published: Arc<Published>) {
    let bar = ProgressBar::new(STEPS);
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    loop {
        actix_rt::time::sleep(REDRAW).await;
        let told = published.vitals.backfill.load();
        let Some(told) = told.as_ref() else { continue };
        if told.done_ratio >= 1.0 {
            bar.finish_and_clear();
            return;
        }
        let left = told.eta_s.map_or_else(|| "?".to_owned(), |seconds| clock(seconds.ceil()));
        let back_to = told.whole_back_to.map(|at| at.to_rfc3339()).unwrap_or_default();
        bar.set_message(format!(
            "{} trades, {}/s, back to {back_to}, {left} left",
            told.trades, told.trades_per_second
        ));
        bar.set_position(position(told.done_ratio));
    }
}

fn position(ratio: f64) -> u64 {
    (1..=STEPS)
        .rev()
        .find(|step| crate::domain::number::ratio_to_f64(i128::from(*step), 1_000) <= ratio)
        .unwrap_or(0)
}

/// `1:02:03`
fn clock(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
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
