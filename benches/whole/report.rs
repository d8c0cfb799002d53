//! Rows of the tables of results. They are printed, and saved as JSON for the tables in the docs.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::bench::Bench;

/// One measurement.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    figure: f64,
    unit: Unit,
    baseline: Option<(&'static str, f64)>,
    goal: String,
    is_met: bool,
    point: Option<Point>,
}

/// Position of a figure in a plot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Quantity that grows: trades or markets.
    pub(crate) by: &'static str,
    /// Size of that quantity.
    pub(crate) size: u64,
    /// Name of the line.
    pub(crate) line: &'static str,
}

/// Unit of a figure, which also decides if more or less of it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Less is better.
    Seconds,
    /// Less is better.
    Bytes,
    /// Less is better.
    Times,
    /// Less is better.
    Count,
    /// More is better.
    PerSecond,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, figure: f64, unit: Unit) -> Self {
        Self {
            what: what.into(),
            figure,
            unit,
            baseline: None,
            goal: String::new(),
            is_met: true,
            point: None,
        }
    }

    /// Returns a row for a point of a plot. It appears in the table of sizes, not in that of goals.
    pub(crate) fn at(point: Point, figure: f64, unit: Unit) -> Self {
        let Point { by, size, line } = point;
        Self { point: Some(point), ..Self::new(format!("{size} {by}: {line}"), figure, unit) }
    }

    /// Adds a baseline that the same run has measured.
    pub(crate) fn baseline(self, what: &'static str, figure: f64) -> Self {
        Self { baseline: Some((what, figure)), ..self }
    }

    /// Adds a bound that the figure must reach.
    pub(crate) fn goal(self, bound: f64) -> Self {
        let (is_met, word) = match self.unit {
            Unit::PerSecond => (self.figure >= bound, "at least"),
            Unit::Seconds | Unit::Bytes | Unit::Times | Unit::Count => (self.figure <= bound, "at most"),
        };
        let text = format!("{word} {}", self.unit.show(bound));
        self.also(text, is_met)
    }

    /// Adds a bound that the ratio to the baseline must reach.
    pub(crate) fn goal_ratio(self, bound: f64) -> Self {
        let is_met = self.ratio().is_some_and(|ratio| ratio >= bound);
        self.also(format!("ratio at least {}", (bound * 1e3).round() / 1e3), is_met)
    }

    fn also(mut self, text: String, is_met: bool) -> Self {
        if !self.goal.is_empty() {
            self.goal.push_str(", ");
        }
        self.goal.push_str(&text);
        self.is_met &= is_met;
        self
    }

    /// Returns the ratio to the baseline: 2 means twice as many per second, or half the time.
    fn ratio(&self) -> Option<f64> {
        self.baseline.map(|(_, baseline)| match self.unit {
            Unit::PerSecond => self.figure / baseline,
            Unit::Seconds | Unit::Bytes | Unit::Times | Unit::Count => baseline / self.figure,
        })
    }

    fn columns(&self) -> [String; 6] {
        let baseline = self.baseline.map(|(what, figure)| format!("{what}: {}", self.unit.show(figure)));
        let met = match (self.goal.is_empty(), self.is_met) {
            (true, _) => "",
            (_, true) => "met",
            (_, false) => "NOT MET",
        };
        [
            self.what.clone(),
            self.unit.show(self.figure),
            baseline.unwrap_or_default(),
            self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.goal.clone(),
            met.to_owned(),
        ]
    }
}

impl Unit {
    pub(crate) fn show(self, figure: f64) -> String {
        match self {
            Self::Seconds if figure < 1e-3 => format!("{:.2} µs", figure * 1e6),
            Self::Times => format!("{figure:.2} ×"),
            Self::Seconds if figure < 1.0 => format!("{:.1} ms", figure * 1e3),
            Self::Seconds => format!("{figure:.2} s"),
            Self::Bytes if figure.abs() < 1e6 => format!("{:.1} KB", figure / 1e3),
            Self::Bytes => format!("{:.0} MB", figure / 1e6),
            Self::Count => format!("{figure:.0}"),
            Self::PerSecond => format!("{figure:.0}/s"),
        }
    }
}

/// Names of the columns.
pub(crate) const HEAD: [&str; 6] = ["what", "figure", "baseline", "ratio", "goal", ""];

pub(crate) fn print_head() {
    print_columns(HEAD.map(str::to_owned));
}

pub(crate) fn print(row: &Row) {
    print_columns(row.columns());
}

fn print_columns([what, figure, baseline, ratio, goal, met]: [String; 6]) {
    println!("{what:<64} {figure:>12}  {baseline:<28} {ratio:>7}  {goal:<40} {met}");
}

/// Returns the directory of the results, below cargo's target directory.
pub(crate) fn directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target")).join("bench")
}

/// Saves the rows of a subject.
pub(crate) fn save(subject: &str, bench: &Bench, rows: &[Row]) {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "figure": row.figure, "unit": format!("{:?}", row.unit), "ratio": row.ratio(), "is_met": row.is_met,
                "baseline": row.baseline.map(|(_, figure)| figure), "columns": row.columns(),
                "point": row.point.map(|Point { by, size, line }| json!({"by": by, "size": size, "line": line})),
            })
        })
        .collect();
    let results = json!({
        "subject": subject, "full": bench.is_full, "date": today(), "postgres": bench.postgres_version(), "rows": rows,
    });
    fs::create_dir_all(directory()).unwrap();
    let text = serde_json::to_string_pretty(&results).unwrap();
    fs::write(directory().join(format!("{subject}.json")), text).unwrap();
}

fn today() -> String {
    chrono::Utc::now().date_naive().to_string()
}
