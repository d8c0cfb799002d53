//! The rules of ARCHITECTURE.md that a program can check: who may import whom, and how long files may be.
#![expect(clippy::expect_used, reason = "tests may fail loudly")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// No file may be longer.
const LINES_MAX: usize = 500;

/// What each room may import of the others. What is not listed is forbidden; a room may always import itself.
const MAY_IMPORT: [(&str, &[&str]); 21] = [
    ("domain", &[]),
    ("clock", &[]),
    ("process", &[]),
    ("trouble", &[]),
    ("init", &[]),
    ("connection_string", &[]),
    ("config", &["cli", "connection_string", "domain", "telemetry"]),
    ("cli", &["config", "telemetry"]),
    ("telemetry", &["config", "cli", "domain"]),
    ("outbound", &[]),
    ("blocking", &[]),
    ("shutdown", &["clock"]),
    ("published", &["domain"]),
    ("audit", &["domain"]),
    ("horizon", &["domain", "clock", "outbound", "trouble"]),
    ("db", &["audit", "domain", "clock", "connection_string", "outbound", "process", "trouble"]),
    ("sim", &["domain", "clock"]),
    ("http", &["blocking", "domain", "db", "clock", "outbound", "published"]),
    (
        "actors",
        &[
            "audit",
            "blocking",
            "domain",
            "horizon",
            "db",
            "clock",
            "process",
            "published",
            "shutdown",
            "trouble",
        ],
    ),
    (
        "app",
        &[
            "actors",
            "audit",
            "blocking",
            "cli",
            "clock",
            "config",
            "db",
            "domain",
            "horizon",
            "http",
            "process",
            "published",
            "shutdown",
            "sim",
            "telemetry",
            "trouble",
        ],
    ),
    ("main", &["app", "cli", "config", "init", "process", "telemetry"]),
];

/// Rooms that must not even name these crates.
const FORBIDDEN_CRATES: [(&str, &[&str]); 2] = [
    (
        "domain",
        &[
            "actix",
            "actix_web",
            "tokio",
            "awc",
            "tokio_postgres",
            "deadpool_postgres",
            "std::env",
            "std::fs",
            "std::net",
            "Utc::now",
            "Instant::now",
            "SystemTime",
        ],
    ),
    ("http", &["actix::"]),
];

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Directory of a room: below `src`, or a crate's own.
fn directory(room: &str) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    match room {
        "domain" => crates.join("ticker-domain/src"),
        _ => source().join(room),
    }
}

/// The room that a file belongs to: the first part of its path below `src`.
fn room(file: &Path) -> String {
    let below = file.strip_prefix(source()).expect("a file of src");
    let first = below.components().next().expect("a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Which rooms a line of code names: `crate::ROOM`, `stellar_ticker::ROOM`, and those in braces behind either.
fn rooms_named(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    for start in ["crate::", "stellar_ticker::"] {
        for (at, _) in text.match_indices(start) {
            let rest = &text[at + start.len()..];
            match rest.strip_prefix('{') {
                Some(list) => named.extend(top_level_names(list)),
                None => named.push(name_at(rest)),
            }
        }
    }
    named
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

/// The names that stand directly in a brace list, not in braces within it.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut fresh) = (0_u32, Vec::new(), true);
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            character if depth == 0 && fresh && !character.is_whitespace() => {
                names.push(name_at(&list[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

/// The file without its comments, so that a doc link is no import.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("the file is readable");
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The code without what stands in quotes, so that a name in a text is no import.
fn without_texts(code: &str) -> String {
    code.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.into_iter().collect();
    let mut faults = Vec::new();
    for file in rust_files(&source()) {
        let here = room(&file);
        if here == "lib" {
            continue;
        }
        let may = allowed.get(here.as_str()).unwrap_or_else(|| panic!("{here} is not in the table"));
        for named in rooms_named(&without_texts(&code(&file))) {
            let is_room = allowed.contains_key(named.as_str());
            if is_room && named != here && !may.contains(&named.as_str()) {
                faults.push(format!("{} imports {named}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "forbidden imports:\n{}", faults.join("\n"));
}

#[test]
fn pure_rooms_name_no_runtime_no_clock_and_no_environment() {
    let mut faults = Vec::new();
    for (here, forbidden) in FORBIDDEN_CRATES {
        let files = rust_files(&directory(here));
        assert!(!files.is_empty(), "{here} has no files");
        for file in files {
            let text = code(&file);
            faults.extend(
                forbidden
                    .iter()
                    .filter(|name| text.contains(**name))
                    .map(|name| format!("{}: {name}", file.display())),
            );
        }
    }
    assert!(faults.is_empty(), "forbidden names:\n{}", faults.join("\n"));
}

#[test]
fn actors_import_no_other_actor() {
    let actors = [
        "stream_ingester",
        "backfiller",
        "asset_poller",
        "toml_checker",
        "orderbook_poller",
        "cleaner",
        "aggregator",
        "json_writer",
        "lease_keeper",
        "nginx_process",
    ];
    let mut faults = Vec::new();
    for actor in actors {
        let files = rust_files(&source().join("actors"));
        let own = files.iter().filter(|file| {
            file.strip_prefix(source().join("actors")).unwrap().starts_with(actor)
                || file.file_stem().is_some_and(|stem| stem == actor)
        });
        for file in own {
            let text = code(file);
            let others = actors.iter().filter(|other| **other != actor);
            faults.extend(
                others
                    .filter(|other| {
                        text.contains(&format!("actors::{other}"))
                            || text.contains(&format!("super::{other}"))
                    })
                    .map(|other| format!("{} names {other}", file.display())),
            );
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn sql_lives_only_in_db() {
    let verbs = ["SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM"];
    let faults: Vec<_> = rust_files(&source())
        .into_iter()
        .filter(|file| room(file) != "db")
        .filter(|file| verbs.iter().any(|verb| code(file).contains(verb)))
        .collect();
    assert!(faults.is_empty(), "SQL outside of db: {faults:?}");
}

#[test]
fn no_file_is_longer_than_it_may_be() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files =
        ["src", "crates", "tests", "benches"].iter().map(|name| root.join(name)).filter(|path| path.is_dir());
    let long: Vec<_> = files
        .flat_map(|directory| rust_files(&directory))
        .map(|file| (fs::read_to_string(&file).expect("the file is readable").lines().count(), file))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines: {long:?}");
}

#[test]
fn the_check_itself_sees_imports_in_every_form() {
    assert_eq!(rooms_named("use crate::db::Database;"), ["db"]);
    assert_eq!(
        rooms_named("use crate::{\n    clock::SharedClock,\n    db::{self, trades::X},\n    horizon,\n};"),
        ["clock", "db", "horizon"]
    );
    assert_eq!(rooms_named("let x: crate::http::Server = stellar_ticker::sim::start();"), ["http", "sim"]);
}
