//! Metrics of the data: trades, publications, coverage, self-audit.

use super::WORK;
use crate::instruments::metric::{Label, Metric, Unit};

const SOURCE: &[Label] = &[Label { name: "kind", values: &["live", "backfill", "repair"] }];
const TAIL: &[Label] = &[Label { name: "found", values: &["before", "now"] }];
const REREAD: &[Label] = &[Label { name: "found", values: &["missing", "contradicting", "surplus"] }];
const TABLES: &[Label] = &[Label {
    name: "table",
    values: &["trades", "assets", "orderbook_stats", "toml_files", "stellar.toml"],
}];

pub(super) const METRICS: &[Metric] = &[
    Metric::counter("ticker_trades_ingested_total", "Trades stored for the first time, by source.")
        .by(SOURCE),
    Metric::counter(
        "ticker_trades_repeated_total",
        "Trades received again, which changed nothing, by source.",
    )
    .by(SOURCE),
    Metric::counter("ticker_trades_passed_over_total", "Trades that were skipped because they are older than the retention."),
    Metric::counter(
        "ticker_tail_trades_total",
        "Trades of recent ledgers read again by pages: already stored (before), or stored by this read (now).",
    )
    .by(TAIL),
    Metric::counter("ticker_quarantined_total", "Records that could not be stored and are in quarantine."),
    Metric::counter(
        "ticker_quarantine_left_out_total",
        "Invalid records that were not quarantined, because the hourly limit was reached.",
    ),
    Metric::counter(
        "ticker_rows_refused_total",
        "Rows that PostgreSQL refused and that were left out, by table.",
    )
    .by(TABLES),
    Metric::gauge(
        "ticker_newest_trade_age_seconds",
        Unit::Seconds,
        "Time since the ledger of the newest published trade closed; before the first, age of the process.",
    ),
    Metric::gauge(
        "ticker_newest_commit_age_seconds",
        Unit::Seconds,
        "Time since the last committed batch of trades; before the first, age of the process.",
    ),
    Metric::gauge(
        "ticker_publication_age_seconds",
        Unit::Seconds,
        "Time since the newest publication; before the first, age of the process.",
    ),
    Metric::gauge(
        "ticker_files_age_seconds",
        Unit::Seconds,
        "Time since the files were last brought up to date; before that, age of the process.",
    ),
    Metric::counter("ticker_publications_total", "Publications made."),
    Metric::seconds("ticker_publication_seconds", WORK, "Time to make a publication."),
    Metric::gauge(
        "ticker_publication_seq",
        Unit::Count,
        "seq of the last batch in the newest publication.",
    ),
    Metric::gauge("ticker_known_markets", Unit::Count, "Markets in memory: those with a stored trade."),
    Metric::gauge(
        "ticker_valid_assets",
        Unit::Count,
        "Assets in memory: those that are valid, traded or not.",
    ),
    Metric::gauge("ticker_coverage_ledgers", Unit::Count, "Ledgers whose trades are completely stored."),
    Metric::gauge("ticker_gaps", Unit::Count, "Missing ranges of ledgers between complete ones."),
    Metric::gauge("ticker_gap_ledgers", Unit::Count, "Ledgers in those missing ranges."),
    Metric::gauge(
        "ticker_backfill_done_ratio",
        Unit::Ratio,
        "Stored share of the wanted history; 0 on a replica that does not fill it.",
    ),
    Metric::counter("ticker_cleaned_partitions_total", "Daily partitions of trades that were dropped."),
    Metric::counter("ticker_cleaned_rows_total", "Rows that were trimmed from other tables."),
    Metric::counter(
        "ticker_candles_written_total",
        "Candles written to the database, again if a trade touched them.",
    ),
    Metric::counter("ticker_audit_markets_total", "Markets recomputed from the raw trades and compared."),
    Metric::counter(
        "ticker_audit_candles_total",
        "Stored candles recomputed from the raw trades and compared.",
    ),
    Metric::counter(
        "ticker_audit_mended_candles_total",
        "Stored candles that differed and were derived again.",
    ),
    Metric::counter("ticker_audit_lists_total", "Comparisons of assets, markets and books with their rows."),
    Metric::counter(
        "ticker_audit_prices_total",
        "Prices in dollars recomputed from the raw trades and compared.",
    ),
    Metric::counter(
        "ticker_audit_differences_total",
        "Figures that differed from the raw trades in two publications.",
    ),
    Metric::counter(
        "ticker_audit_repaired_markets_total",
        "Markets whose windows were rebuilt and agree since.",
    ),
    Metric::seconds("ticker_audit_slice_seconds", WORK, "Time to recompute a slice of the markets."),
    Metric::gauge(
        "ticker_audit_pass_spent_seconds",
        Unit::Seconds,
        "Time that the last audit of all markets took, without pauses.",
    ),
    Metric::gauge(
        "ticker_audit_pass_age_seconds",
        Unit::Seconds,
        "Time since the last audit compared all markets; before the first, age of the process.",
    ),
    Metric::counter("ticker_reread_ledgers_total", "Stored ledgers that were read again from Horizon or a lake."),
    Metric::counter(
        "ticker_reread_trades_total",
        "Trades of such ledgers that were missing, contradicted their source, or were unknown to it. A wrong row counts once.",
    )
    .by(REREAD),
];
