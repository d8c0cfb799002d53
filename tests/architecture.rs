//! The rules of ARCHITECTURE.md that a program can check, on the syntax trees of the sources.
//!
//! `architecture/planted.rs` breaks each rule once and sees that it is found.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may fail loudly")]

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/modules.rs"]
mod modules;
#[path = "architecture/names.rs"]
mod names;
#[path = "architecture/planted.rs"]
mod planted;
#[path = "architecture/rows.rs"]
mod rows;
#[path = "architecture/rules.rs"]
mod rules;

use std::{
    fs,
    path::{Path, PathBuf},
};

use modules::{Files, Modules};
use rules::Layers;

/// No file may be longer.
const LINES_MAX: usize = 500;
/// Longest line of a comment, in characters.
const COLUMNS_MAX: usize = 120;

/// Directory of the actors.
const ACTORS: &str = "src/actors";
/// File with the list of the actors.
const ACTOR_LIST: &str = "src/app/daemon/tree.rs";

/// Each layer and the place of its files. ARCHITECTURE.md says which layer imports which.
const LAYERS: Layers<'static> = Layers(&[
    ("actor_tree", "crates/actor-tree/src"),
    ("actors", ACTORS),
    ("app", "src/app"),
    ("audit", "src/audit"),
    ("blocking", "src/blocking.rs"),
    ("cli", "src/cli"),
    ("clock", "crates/actor-tree/src/clock.rs"),
    ("config", "src/config"),
    ("connection_string", "src/connection_string"),
    ("db", "src/db"),
    ("domain", "crates/ticker-domain/src"),
    ("formats", "crates/ticker-formats/src"),
    ("horizon", "src/horizon"),
    ("http", "src/http"),
    ("init", "src/init.rs"),
    ("instruments", "src/instruments"),
    ("lake", "src/lake"),
    ("ledger_metadata", "crates/ledger-metadata/src"),
    ("main", "src/main.rs"),
    ("otlp", "src/otlp"),
    ("outbound", "src/outbound"),
    ("private_postgres", "crates/private-postgres/src"),
    ("process", "src/process.rs"),
    ("published", "src/published"),
    ("schemas", "crates/ticker-schemas/src"),
    ("shutdown", "src/shutdown.rs"),
    ("sim", "crates/horizon-sim/src"),
    ("steps", "src/steps.rs"),
    ("telemetry", "src/telemetry"),
    ("trace", "crates/actor-tree/src/trace"),
    ("traces", "src/traces"),
    ("trouble", "src/trouble.rs"),
]);

/// Layers that may hold SQL.
const SQL_LAYERS: [&str; 2] = ["db", "private_postgres"];

/// Layers that compute from what they are given. ARCHITECTURE.md calls them pure.
const PURE: [&str; 6] = ["audit", "domain", "formats", "ledger_metadata", "schemas", "traces"];

/// Names that the pure layers must not use: runtimes, clocks, environment, files, sockets, processes and threads.
const IMPURE: [&str; 25] = [
    "actix",
    "actix_rt",
    "actix_web",
    "awc",
    "deadpool_postgres",
    "hyper",
    "nix",
    "socket2",
    "tokio",
    "tokio_postgres",
    "chrono::Local",
    "chrono::Utc::now",
    "chrono::offset::Local",
    "chrono::offset::Utc::now",
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::io::stdin",
];

/// The system's wall clock. Only the clock reads it, so that a test can set the time (ADR 20).
const WALL_CLOCK: [&str; 3] = ["chrono::Utc::now", "chrono::offset::Utc::now", "std::time::SystemTime::now"];

/// Names that a layer must not use.
fn forbidden_in(layer: &str) -> Vec<&'static str> {
    let mut names = match layer {
        // Its compressors run beside each other in threads.
        "formats" => IMPURE.into_iter().filter(|name| *name != "std::thread").collect(),
        // A test decodes in a thread with a small stack.
        "ledger_metadata" => IMPURE.into_iter().filter(|name| *name != "std::thread").collect(),
        layer if PURE.contains(&layer) => IMPURE.to_vec(),
        "http" => vec!["actix"], // an actor's address
        _ => Vec::new(),
    };
    if !["clock", "sim"].contains(&layer) {
        names.extend(WALL_CLOCK);
    }
    if layer != "db" {
        names.extend([
            "deadpool_postgres",
            "refinery",
            "tokio_postgres::Client",
            "tokio_postgres::Transaction",
        ]);
    }
    names
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

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

/// The directories of sources: the product's, and one of each crate beside it.
fn source_directories() -> Vec<PathBuf> {
    let crates = fs::read_dir(root().join("crates")).into_iter().flatten();
    let crates = crates.map(|entry| entry.expect("the entry is readable").path().join("src"));
    let mut directories: Vec<PathBuf> = crates.filter(|path| path.is_dir()).collect();
    directories.push(root().join("src"));
    directories.sort();
    directories
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("the file is readable")
}

fn below_root(path: &Path) -> String {
    path.strip_prefix(root()).expect("a path below the root").to_string_lossy().into_owned()
}

fn sources() -> Files {
    let files = source_directories().into_iter().flat_map(|directory| rust_files(&directory));
    files.map(|file| (below_root(&file), text(&file))).collect()
}

/// The crates of the workspace and their root files. A program beside a library is a crate of its own.
fn crates() -> Vec<(String, String)> {
    let mut crates = Vec::new();
    for directory in source_directories() {
        let package = directory.parent().expect("a package");
        let name = if package == root() {
            "stellar_ticker".to_owned()
        } else {
            package.file_name().expect("a name").to_string_lossy().replace('-', "_")
        };
        for (name, root) in [(format!("{name}_main"), "main.rs"), (name, "lib.rs")] {
            let root = directory.join(root);
            if root.exists() {
                crates.push((name, below_root(&root)));
            }
        }
    }
    crates
}

fn all() -> Modules {
    modules::read(&sources(), &crates())
}

fn page() -> String {
    text(&root().join("ARCHITECTURE.md"))
}

fn assert_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn every_file_belongs_to_a_module_and_a_layer() {
    let modules = all();
    let known = |file: &String| modules.values().any(|module| module.file == *file);
    let unused: Vec<String> = sources().into_keys().filter(|file| !known(file)).collect();
    assert_none("no module declares these files", &unused);
    let homeless: Vec<String> =
        rules::without_layer(&modules, &LAYERS).into_iter().map(str::to_owned).collect();
    assert_none("files of no layer: add the layer to this test and to ARCHITECTURE.md", &homeless);
    assert_none(
        "layers that only this test or only ARCHITECTURE.md lists",
        &rules::unlisted_layers(&page(), &LAYERS),
    );
}

#[test]
fn layers_import_each_other_exactly_as_the_architecture_lists() {
    assert_none(
        "imports between layers",
        &rules::wrong_edges(&all(), &LAYERS, &rules::listed_edges(&page())),
    );
}

#[test]
fn no_layers_import_each_other_in_a_circle() {
    assert_eq!(rules::circles_of_layers(&rules::listed_edges(&page())), Vec::<Vec<String>>::new());
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles: Vec<String> =
        rules::circles_of_files(&all()).iter().map(|circle| circle.join(" ")).collect();
    assert_none("circles between files", &circles);
}

#[test]
fn pure_layers_use_no_runtime_no_clock_and_no_environment() {
    assert_none("forbidden names", &rules::forbidden_names(&all(), &LAYERS, forbidden_in));
}

#[test]
fn the_layers_that_the_architecture_calls_pure_are_the_checked_ones() {
    let page = page();
    let described = page.lines().filter(|line| line.contains("| pure: "));
    let named = described.filter_map(|line| {
        let place = line.split('`').nth(1)?.trim_end_matches('/');
        let layer = LAYERS.0.iter().find(|(_, path)| path.trim_end_matches("/src") == place);
        Some(layer.map_or(place, |(name, _)| name))
    });
    let mut named: Vec<&str> = named.collect();
    named.sort_unstable();
    assert_eq!(named, PURE);
    for layer in PURE {
        let forbidden = forbidden_in(layer);
        assert!(["std::fs", "std::env", "tokio"].iter().all(|name| forbidden.contains(name)), "{layer}");
    }
}

#[test]
fn actors_import_no_other_actor() {
    let modules = all();
    let listed = rules::listed_actors(&text(&root().join(ACTOR_LIST)));
    assert_eq!(rules::actors(&modules, ACTORS), listed, "actors that were found, and {ACTOR_LIST} (right)");
    assert_none("actors that import others", &rules::actors_that_import_actors(&modules, ACTORS));
}

#[test]
fn messages_between_actors_are_declared_in_one_file() {
    let strays = rules::stray_messages(&all(), "src/", &format!("{ACTORS}/messages.rs"));
    assert_none("messages that are declared elsewhere", &strays);
}

#[test]
fn sql_lives_only_in_its_layers() {
    assert_none("SQL elsewhere", &rules::stray_sql(&all(), &LAYERS, &SQL_LAYERS));
}

#[test]
fn names_of_errors_end_in_error() {
    assert_none("errors with another name", &rules::misnamed_errors(&all()));
}

#[test]
fn no_function_that_includes_a_statement_on_trades_reads_a_column_by_its_position() {
    let sql = |path: &str| fs::read_to_string(root().join("src/db").join(path)).ok();
    let files: Files = sources().into_iter().filter(|(file, _)| file.starts_with("src/db")).collect();
    assert_none("columns of trades that are read by position", &rows::read_by_position(&files, sql));
}

/// All files of code, of tests and of benches.
fn all_files() -> impl Iterator<Item = PathBuf> {
    let others = ["tests", "benches"].iter().map(|name| root().join(name));
    source_directories().into_iter().chain(others).flat_map(|directory| rust_files(&directory))
}

/// rustfmt wraps code, but no comments.
#[test]
fn no_comment_is_wider_than_it_may_be() {
    let wide: Vec<String> = all_files()
        .flat_map(|file| {
            let is_wide =
                |line: &&str| line.trim_start().starts_with("//") && line.chars().count() > COLUMNS_MAX;
            let lines: Vec<String> = text(&file).lines().filter(is_wide).map(str::to_owned).collect();
            lines.into_iter().map(move |line| format!("{}: {line}", file.display()))
        })
        .collect();
    assert_none("comments that are too wide", &wide);
}

#[test]
fn no_file_is_longer_than_it_may_be() {
    let long: Vec<String> = all_files()
        .map(|file| (text(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, file)| format!("{}: {lines} lines", file.display()))
        .collect();
    assert_none("files that are too long", &long);
}
