//! Volumes of an asset over all of its markets.

use stellar_ticker::{
    db::candles::{VolumeQuery, VolumeSpan},
    domain::{
        candles::Stored,
        instant::{DAY, HOUR},
    },
};

use super::{
    candles::{Dice, any_trade, backfilled, derive},
    *,
};

/// The middle of a year of hours is not read to answer by the day.
#[tokio::test]
async fn volumes_by_the_day_of_any_full_hours_are_those_of_the_days_and_of_the_hours_at_both_ends() {
    let scene = Scene::new().await;
    let begin = NOW - NOW.rem_euclid(DAY);
    let mut dice = Dice(5);
    let trades: Vec<Trade> =
        (0..400).map(|ledger| any_trade(ledger, begin + i64::from(ledger) * DAY / 100, &mut dice)).collect();
    scene.database.write_trades(scene.epoch, &backfilled(trades)).await.unwrap();
    derive(&scene.database, scene.epoch, begin + 5 * DAY).await;
    let (from, to) = (UnixSeconds(begin + 13 * HOUR), UnixSeconds(begin + 3 * DAY + 2 * HOUR));
    let days = async |spans: Vec<VolumeSpan>| {
        let query = VolumeQuery { asset: Asset::Native, anchors: Vec::new(), spans };
        let mut days = std::collections::BTreeMap::new();
        for part in scene.database.candle_volumes(&query).await.unwrap().0 {
            let sums: &mut (i128, i128, i128, u64) = days.entry(part.start.day()).or_default();
            sums.0 += part.volume;
            sums.1 += part.pool;
            sums.2 += part.valued_volume;
            sums.3 += part.trade_count;
        }
        days
    };
    let by_hour = days(vec![VolumeSpan { stored: Stored::Hour, from, to }]).await;
    assert_eq!(by_hour.len(), 4);
    assert_eq!(days(VolumeSpan::by_day(from, to)).await, by_hour);
    let gone = format!(
        "DELETE FROM candles_1h WHERE begins_at >= to_timestamp({}) AND begins_at < to_timestamp({})",
        begin + DAY,
        begin + 3 * DAY
    );
    assert!(scene.client.execute(&gone, &[]).await.unwrap() > 0);
    assert_eq!(days(VolumeSpan::by_day(from, to)).await, by_hour, "two days of hours are read");
}
