//! The table in `docs/performance.md`, made of what the last runs wrote.

use std::{fmt::Write as _, fs, path::PathBuf};

use serde_json::Value;

use super::report::{HEAD, directory};

const BEGIN: &str = "<!-- ./ticker bench --write-docs: begin -->";
const END: &str = "<!-- ./ticker bench --write-docs: end -->";

/// Puts the results of these subjects, as far as there are any, between the marks of the page.
pub(crate) fn write(subjects: &[&str]) {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let text = fs::read_to_string(&page).expect("docs/performance.md");
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the table begins");
    let (_, after) = rest.split_once(END).expect("the mark where the table ends");
    fs::write(&page, format!("{before}{BEGIN}\n\n{}\n{END}{after}", table(subjects))).unwrap();
    println!("{} is written", page.display());
}

fn table(subjects: &[&str]) -> String {
    let mut table = format!("| {} |\n|{}\n", HEAD.join(" | "), "---|".repeat(HEAD.len()));
    let mut runs = Vec::new();
    for subject in subjects {
        let Ok(text) = fs::read_to_string(directory().join(format!("{subject}.json"))) else { continue };
        let told: Value = serde_json::from_str(&text).unwrap();
        let size = if told["full"].as_bool().unwrap() { "full" } else { "quick" };
        let text = |field: &str| told[field].as_str().unwrap().to_owned();
        runs.push(format!("{subject}: {size}, {}, PostgreSQL {}", text("date"), text("postgres")));
        for row in told["rows"].as_array().unwrap() {
            let columns: Vec<&str> =
                row["columns"].as_array().unwrap().iter().map(|column| column.as_str().unwrap()).collect();
            writeln!(table, "| {} |", columns.join(" | ")).unwrap();
        }
    }
    format!("{table}\nOn {}. {}.\n", machine(), runs.join("; "))
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    format!("{cores} cores ({})", model.trim_start_matches([' ', '\t', ':']))
}
