//! Writer of the tables in `docs/performance.md`, from the results of the last runs.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Subject, growth,
    plots::{self, Line, Plot},
    publish,
    report::{HEAD, Unit, directory},
};

const BEGIN: &str = "<!-- ./ticker bench --write-docs: begin -->";
const END: &str = "<!-- ./ticker bench --write-docs: end -->";

const GROWTH: &str = "### How cost grows";
const PURE: &str = "### The pure parts, by criterion";

/// Writes the results of these subjects between the marks of the page. A section without new results stays as it is.
pub(crate) fn write(subjects: &[Subject]) {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let text = fs::read_to_string(&page).expect("docs/performance.md");
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the tables begin");
    let (old, after) = rest.split_once(END).expect("the mark where the tables end");
    let kept = |heading: String| kept_section(old, &heading);
    let mut sections: Vec<String> = subjects
        .iter()
        .map(|subject| {
            results(subject.name).map_or_else(|| kept(heading(subject)), |run| section(subject, &run))
        })
        .collect();
    sections.push(growth_of_cost().unwrap_or_else(|| kept(GROWTH.to_owned())));
    sections.push(pure_parts().unwrap_or_else(|| kept(PURE.to_owned())));
    sections.retain(|section| !section.is_empty());
    fs::write(&page, format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", sections.join("\n\n"))).unwrap();
    println!("{} is written", page.display());
}

/// Returns the section with this heading, without empty lines around it, or nothing if there is none.
fn kept_section(page: &str, heading: &str) -> String {
    let from = page.find(&format!("{heading}\n"));
    let section = from.and_then(|from| page.get(from..)).unwrap_or_default();
    let end = section.find("\n### ").unwrap_or(section.len());
    section.get(..end).unwrap_or_default().trim().to_owned()
}

fn heading(Subject { name, title, .. }: &Subject) -> String {
    format!("### {title} (`{name}`)")
}

/// Returns the section of a subject: its table, and when and on what it was measured.
fn section(subject: &Subject, results: &Value) -> String {
    let mut text = format!("{}\n\nLeaves out {}.\n\n", heading(subject), subject.leaves_out);
    push_table(&mut text, results["rows"].as_array().unwrap());
    let size = if results["full"].as_bool().unwrap() { "Full run" } else { "Quick run" };
    let field = |name: &str| results[name].as_str().unwrap().to_owned();
    let (date, postgres) = (field("date"), field("postgres"));
    write!(text, "{size} of {date} on {}, PostgreSQL {postgres}.", machine()).unwrap();
    text
}

fn push_table(text: &mut String, rows: &[Value]) {
    writeln!(text, "| {} |\n|{}", HEAD.join(" | "), "---|".repeat(HEAD.len())).unwrap();
    let mut group = None;
    for row in rows.iter().filter(|row| row["point"].is_null()) {
        // Results of earlier versions have one more column.
        let columns = row["columns"].as_array().unwrap().iter().take(HEAD.len());
        let columns: Vec<&str> = columns.map(|column| column.as_str().unwrap()).collect();
        let (what, figures) = columns.split_first().unwrap();
        let (what, of_group) = within_group(what, group);
        group = of_group;
        writeln!(text, "| {what} | {} |", figures.join(" | ")).unwrap();
    }
    text.push('\n');
}

/// Returns the name of a row, and the group that it belongs to: the text before a colon. A row of the same group as the
/// row before does not repeat that text.
fn within_group<'a>(what: &'a str, before: Option<&str>) -> (String, Option<&'a str>) {
    match what.split_once(": ") {
        Some((group, rest)) if before == Some(group) => (format!("… {rest}"), Some(group)),
        Some((group, _)) => (what.to_owned(), Some(group)),
        None => (what.to_owned(), None),
    }
}

/// Returns the results of the last run of a subject.
fn results(subject: &str) -> Option<Value> {
    let text = fs::read_to_string(directory().join(format!("{subject}.json"))).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// Returns the section about the growth of cost, if it was measured, and writes its plots beside the page.
fn growth_of_cost() -> Option<String> {
    let results = results("growth")?;
    let figures = Figures::of(&results);
    let is_full = results["full"].as_bool().unwrap();
    let mut text = format!("{GROWTH}\n\n");
    let others = [
        format!("{} markets", plots::count(publish::MARKETS as f64)),
        format!("{} trades", plots::count(growth::many(is_full) as f64)),
    ];
    for (by, beside) in [growth::BY_TRADES, growth::BY_MARKETS].into_iter().zip(&others) {
        figures.push_table(&mut text, by, beside);
        for (lines, what, title, unit) in [
            (
                &[growth::RENDERED, growth::SERVED, growth::SQL][..],
                "cost",
                "Time of a publication",
                Unit::Seconds,
            ),
            (&[growth::MEMORY][..], "memory", "Memory", Unit::Bytes),
        ] {
            let file = format!("{what}-by-{by}.svg");
            let title = format!("{title} by {by} (at {beside})");
            let lines = lines.iter().enumerate();
            let lines = lines.map(|(colour, name)| Line { name, colour, points: figures.line(by, name) });
            let lines = lines.filter(|line| !line.points.is_empty()).collect();
            let figure = if unit == Unit::Seconds { "time" } else { "bytes" };
            let plot = Plot { title: &title, size: by, figure, unit, lines };
            let plots = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/plots");
            fs::create_dir_all(&plots).unwrap();
            fs::write(plots.join(&file), plot.svg()).unwrap();
            writeln!(text, "![{title}](plots/{file})\n").unwrap();
        }
    }
    Some(text.trim_end().to_owned())
}

/// Figures of `growth`: the quantity that grows, its size, the name of the line, the figure, and its text.
struct Figures<'a>(Vec<(&'a str, u64, &'a str, f64, &'a str)>);

impl<'a> Figures<'a> {
    fn of(results: &'a Value) -> Self {
        let rows = results["rows"].as_array().unwrap().iter().filter(|row| !row["point"].is_null());
        let figure = |row: &'a Value| {
            let (by, line) = (row["point"]["by"].as_str()?, row["point"]["line"].as_str()?);
            Some((
                by,
                row["point"]["size"].as_u64()?,
                line,
                row["figure"].as_f64()?,
                row["columns"][1].as_str()?,
            ))
        };
        Self(rows.map(|row| figure(row).unwrap()).collect())
    }

    fn line(&self, by: &str, line: &str) -> Vec<(f64, f64)> {
        let of_line = self.0.iter().filter(|figure| (figure.0, figure.2) == (by, line));
        of_line.map(|(_, size, _, figure, _)| (*size as f64, *figure)).collect()
    }

    fn push_table(&self, text: &mut String, by: &str, beside: &str) {
        let of_it = || self.0.iter().filter(|figure| figure.0 == by);
        let mut lines: Vec<&str> = Vec::new();
        let mut sizes: Vec<u64> = of_it().map(|figure| figure.1).collect();
        sizes.dedup();
        for (_, _, line, ..) in of_it() {
            if !lines.contains(line) {
                lines.push(line);
            }
        }
        writeln!(text, "| {by}, at {beside} | {} |\n|---|{}", lines.join(" | "), "---|".repeat(lines.len()))
            .unwrap();
        for size in sizes {
            let cell = |line: &&str| {
                let found = of_it().find(|figure| (figure.1, figure.2) == (size, line));
                found.map_or("", |figure| figure.4)
            };
            let cells: Vec<&str> = lines.iter().map(cell).collect();
            writeln!(text, "| {} | {} |", plots::count(size as f64), cells.join(" | ")).unwrap();
        }
        text.push('\n');
    }
}

/// Returns the section about the pure parts, if criterion has results.
fn pure_parts() -> Option<String> {
    let criterion = directory().with_file_name("criterion");
    let mut rows: Vec<String> =
        groups(&criterion).iter().flat_map(|group| groups(group)).filter_map(pure_part).collect();
    if rows.is_empty() {
        return None;
    }
    rows.sort();
    Some(format!("{PURE}\n\n| part | time |\n|---|---|\n{}", rows.concat().trim_end()))
}

fn groups(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn pure_part(directory: PathBuf) -> Option<String> {
    let read = |name: &str| -> Option<Value> {
        serde_json::from_str(&fs::read_to_string(directory.join("new").join(name)).ok()?).ok()
    };
    let (benchmark, estimates) = (read("benchmark.json")?, read("estimates.json")?);
    let title = benchmark["title"].as_str()?;
    let all_s = estimates["median"]["point_estimate"].as_f64()? / 1e9;
    let each = benchmark["throughput"]["Elements"].as_f64().filter(|elements| *elements > 1.0);
    let each =
        each.map(|elements| format!(", {} for each of {elements}", Unit::Seconds.show(all_s / elements)));
    Some(format!("| {title} | {}{} |\n", Unit::Seconds.show(all_s), each.unwrap_or_default()))
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    format!("{cores} cores ({})", model.trim_start_matches([' ', '\t', ':']))
}
