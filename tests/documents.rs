//! The documents: links, settings, commands and names of tests in them exist.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests may fail loudly")]

#[path = "documents/alerts.rs"]
mod alerts;
#[path = "documents/debugging.rs"]
mod debugging;
#[path = "documents/metrics.rs"]
mod metrics;
#[path = "documents/named.rs"]
mod named;
#[path = "documents/performance.rs"]
mod performance;
#[path = "documents/simulation.rs"]
mod simulation;
#[path = "documents/upgrading.rs"]
mod upgrading;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use stellar_ticker::{
    cli::definition,
    config::{Fallback, SETTINGS, SIMULATION_SETTINGS},
    horizon::budget::Class,
};

/// Directories without our documents.
const SKIPPED: [&str; 5] = ["target", "node_modules", "data", ".git", ".venv"];

fn documents(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !SKIPPED.contains(&name.as_str()) {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The line without its inline code.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// Targets of links and images, in Markdown and in HTML.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text).map(without_code) {
        for (start, end) in [("](", ')'), ("href=\"", '"'), ("src=\"", '"'), ("srcset=\"", '"')] {
            for (at, _) in line.match_indices(start) {
                let rest = &line[at + start.len()..];
                found.extend(rest.split(end).next().map(|target| target.trim().to_owned()));
            }
        }
    }
    found
}

/// The anchors that GitHub gives to the headings.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let slug: String = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            let slug: String =
                slug.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect();
            let times = seen.entry(slug.clone()).or_default();
            *times += 1;
            if *times == 1 { slug } else { format!("{slug}-{}", *times - 1) }
        })
        .collect()
}

/// Broken links of a document at `path`.
fn broken(path: &Path, text: &str) -> Vec<String> {
    let is_relative = |target: &String| !target.contains("://") && !target.starts_with("mailto:");
    let leads = |target: &String| {
        let (file, anchor) = target.split_once('#').map_or((target.as_str(), None), |(f, a)| (f, Some(a)));
        let file = if file.is_empty() { path.to_owned() } else { path.parent().unwrap().join(file) };
        let Some(anchor) = anchor else { return file.exists() };
        let heads = if file == path { Some(text.to_owned()) } else { fs::read_to_string(&file).ok() };
        heads.is_some_and(|text| anchors(&text).iter().any(|known| known == anchor))
    };
    links(text).into_iter().filter(is_relative).filter(|target| !leads(target)).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = documents(root);
    assert!(documents.len() > 10, "{documents:?}");
    let mut wrong = Vec::new();
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        let place = path.strip_prefix(root).unwrap().display().to_string();
        wrong.extend(broken(&path, &text).into_iter().map(|target| format!("{place}: {target}")));
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn every_class_of_requests_is_documented() {
    let document = document("docs/api.md");
    for class in Class::ALL {
        let row = format!("| `budget.requests.{}` |", class.name());
        assert!(document.contains(&row), "docs/api.md has no row {row}");
    }
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn every_setting_is_documented_with_its_variables_and_default() {
    let document = document("docs/configure.md");
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `--")).collect();
    for setting in SETTINGS {
        let flag = format!("`--{}`", setting.name);
        let row = rows.iter().find(|row| row.split('|').nth(1).is_some_and(|cell| cell.contains(&flag)));
        let Some(row) = row else { panic!("docs/configure.md has no row for {flag}") };
        for variable in setting.env {
            assert!(row.contains(&format!("`{variable}`")), "{flag} lacks {variable}: {row}");
        }
        // Schedules and lists are described in words.
        let is_in_words = setting.name.ends_with("-schedule") || setting.name == "usd-anchors";
        if let Fallback::Value(default) = setting.fallback
            && !is_in_words
        {
            assert!(row.contains(&format!("`{default}`")), "{flag} is {default} by default: {row}");
        }
    }
    for row in rows {
        let name = row.trim_start_matches("| `--").split('`').next().unwrap();
        let is_known = SETTINGS.iter().chain(SIMULATION_SETTINGS).any(|setting| setting.name == name);
        assert!(is_known, "no such setting: {row}");
    }
}

#[test]
fn every_command_is_documented() {
    let document = document("docs/configure.md");
    let (_, commands) = document.split_once("## Commands").unwrap();
    for command in definition().get_subcommands() {
        let name = format!("`{}", command.get_name());
        assert!(commands.contains(&name), "docs/configure.md lacks the command {name}`");
    }
}

#[test]
fn every_list_of_exit_codes_has_the_one_of_a_refused_setting() {
    let mut lists = 0;
    for command in definition().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let Some((_, codes)) = help.split_once("Exit codes: ") else { continue };
        lists += 1;
        // The doctor reports a refused setting as a failure.
        let has_it = command.get_name() == "doctor" || codes.contains("; 78 ");
        assert!(has_it, "{}: {codes}", command.get_name());
    }
    assert!(lists > 5, "{lists} lists");
}

#[test]
fn every_option_of_the_simulation_is_documented_with_its_default() {
    let document = document("docs/configure.md");
    for setting in SIMULATION_SETTINGS {
        let option = match setting.fallback {
            Fallback::Value(default) => format!("`--{}` ({default})", setting.name),
            _ => format!("`--{}`", setting.name),
        };
        assert!(document.contains(&option), "docs/configure.md lacks {option}");
    }
}

/// A name without a path that is shorter is another word, not a test.
const TEST_NAME_LENGTH: usize = 20;

/// Tests, and modules of tests, that a document names in its tables and that no source has. A name may be cut by `…`.
fn missing_tests(document: &str, sources: &str) -> Vec<String> {
    let rows = document.lines().filter(|line| line.starts_with('|'));
    let names = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    let tests = names.filter_map(|path| {
        let name = path.rsplit("::").next()?;
        let is_test = path.contains("::") || name.contains('…') || name.len() > TEST_NAME_LENGTH;
        (is_test && !name.contains([' ', '.', '/', '-', '='])).then(|| name.to_owned())
    });
    let is_missing = |name: &String| {
        let cut = name.trim_start_matches('…');
        let start = if cut.len() == name.len() { "fn " } else { "" };
        let wanted = match cut.strip_suffix('…') {
            Some(cut) => format!("{start}{cut}"),
            None => format!("{start}{cut}("),
        };
        let is_module =
            sources.contains(&format!("mod {name};")) || sources.contains(&format!("mod {name} {{"));
        name.chars().any(char::is_lowercase) && !is_module && !sources.contains(&wanted)
    };
    tests.filter(is_missing).collect()
}

fn sources(directory: &Path, found: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_a_table_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    ["src", "tests", "crates"].iter().for_each(|name| sources(&root.join(name), &mut code));
    for name in ["docs/reliability.md", "docs/measurements.md"] {
        assert_eq!(missing_tests(&document(name), &code), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_test_that_does_not_exist_is_found() {
    let code = "mod text; fn stops_after_the_last_reader_left() {}";
    for (cell, missing) in [
        ("`replicas::stops_after_the_last_reader_left`", None),
        ("`stops_after_the_last…`, `…after_the_last_reader…`", None),
        ("`stops_after_the_first_reader_left`", Some("stops_after_the_first_reader_left")),
        ("`matrix::stops_after_the_first…`", Some("stops_after_the_first…")),
        ("`hostile::text` (`TICKER_TEST_FAULT_SECONDS`)", None),
        ("`hostile::tests`", Some("tests")),
        ("`hostile::stops_at…`", Some("stops_at…")),
        ("`markets.json`, `some_field`", None),
    ] {
        let found = missing_tests(&format!("| a promise | {cell} | a figure |"), code);
        assert_eq!(found.first().map(String::as_str), missing, "{cell}");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    for (text, wrong) in [
        ("[a](Cargo.toml) [b](https://example.org/none) `[c](none.md)`", None),
        ("[a](none.md)", Some("none.md")),
        ("![a](docs/none.svg)", Some("docs/none.svg")),
        ("<img src=\"none.svg\">", Some("none.svg")),
        ("# Some title: `x`\n[a](#some-title-x)", None),
        ("# Some title\n[a](#other-title)", Some("#other-title")),
        ("[a](Cargo.toml#none)", Some("Cargo.toml#none")),
        ("```\n[a](none.md)\n```\n[b](gone.md)", Some("gone.md")),
    ] {
        assert_eq!(broken(&path, text).first().map(String::as_str), wrong, "{text}");
    }
}
