//! Things of the source that documents name exist: files, and texts of the log.

use std::{fs, path::Path};

use super::{document, prose, sources};

/// Words that begin a command or a setting, not a text of the log.
const NO_TEXTS: [&str; 18] = [
    "ALTER",
    "CREATE",
    "DELETE",
    "DROP",
    "GRANT",
    "PUT",
    "SELECT",
    "--",
    "./ticker",
    "curl",
    "job_name:",
    "ls",
    "mv",
    "promtool",
    "psql",
    "ss",
    "sudo",
    "stellar-ticker",
];

/// The source, with its strings as the program prints them: a line of a string may go on in the next one.
fn source() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = String::new();
    ["src", "crates"].iter().for_each(|name| sources(&root.join(name), &mut found));
    let mut lines = found.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start())
}

/// Quoted texts of several words that the source does not have. `…` stands for anything.
fn unknown_texts(document: &str, source: &str) -> Vec<String> {
    let text = prose(document).collect::<Vec<_>>().join(" ");
    let quoted = text.split('`').skip(1).step_by(2);
    let texts = quoted.filter(|text| {
        text.contains(' ') && !text.contains('{') && !NO_TEXTS.iter().any(|word| text.starts_with(word))
    });
    let is_unknown = |text: &&str| text.split('…').any(|part| !source.contains(part.trim()));
    texts.filter(is_unknown).map(str::to_owned).collect()
}

#[test]
fn every_quoted_text_of_the_log_exists() {
    let source = source();
    for name in ["docs/runbook.md", "docs/troubleshoot.md", "docs/replicas.md"] {
        // Text with a figure in its middle.
        let document =
            document(name).replace("the server answered 404 without", "the server answered … without");
        let document = document.replace("`docker stop`", "");
        assert_eq!(unknown_texts(&document, &source), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_text_that_no_log_has_is_found() {
    let source = "warn!(\"database call failed, retrying\"); format!(\"{address} is in use by {name}\")";
    for (text, unknown) in [
        ("the log: `database call failed, retrying`", None),
        ("`… is in use by …`, then `sudo systemctl restart x` and `word`", None),
        ("the log: `database read failed`", Some("database read failed")),
        ("`… is held by …`", Some("… is held by …")),
    ] {
        assert_eq!(unknown_texts(text, source).first().map(String::as_str), unknown, "{text}");
    }
}

/// Paths in the first cells of tables that do not exist. A path is below the directory in the heading, or below its
/// `src`; with a leading `/`, or without such a heading, below the root.
fn missing_paths(document: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut base, mut missing) = (root.to_owned(), Vec::new());
    for line in prose(document) {
        if line.starts_with('#') {
            let directory = line.split('`').nth(1).filter(|name| name.ends_with('/'));
            base = root.join(directory.unwrap_or_default());
        }
        let cell = line.strip_prefix('|').and_then(|row| row.split('|').next()).unwrap_or_default();
        let paths = cell.split('`').skip(1).step_by(2);
        for path in paths.filter(|path| path.ends_with('/') || path.ends_with(".rs")) {
            let exists = match path.strip_prefix('/') {
                Some(path) => root.join(path).exists(),
                None => base.join(path).exists() || base.join("src").join(path).exists(),
            };
            if !exists {
                missing.push(path.to_owned());
            }
        }
    }
    missing
}

#[test]
fn every_path_in_the_tables_of_the_architecture_exists() {
    assert_eq!(missing_paths(&document("ARCHITECTURE.md")), Vec::<String>::new());
    for (text, missing) in [
        ("| `src/` | x |\n### `src/horizon/`\n| `client.rs`, `wire/` | x |", None),
        ("### `crates/ticker-formats/`\n| `files.rs` | x |\n## Else\n| `src/lib.rs` | x |", None),
        ("### `src/http/`\n| `/templates/` | x |", None),
        ("### `src/http/`\n| `templates/` | x |", Some("templates/")),
        ("### `src/horizon/`\n| `client.rs`, `retry.rs` | x |", Some("retry.rs")),
    ] {
        assert_eq!(missing_paths(text).first().map(String::as_str), missing, "{text}");
    }
}

/// Names of files that the table of their directory does not have, without their ending. A row has the file or the
/// directory of the same name. An actor may be named by its type instead, anywhere.
fn unnamed_files(document: &str, directory: &str, names: &[String]) -> Vec<String> {
    let heading = format!("### `{directory}`\n");
    let table =
        document.split_once(&heading).map_or("", |(_, rest)| rest.split("\n#").next().unwrap_or(rest));
    let is_unnamed = |name: &&String| {
        let actor = name.replace('_', "");
        let is_type = |word: &str| word.starts_with(char::is_uppercase) && word.to_lowercase() == actor;
        let is_actor = directory.ends_with("actors/")
            && document.split(|letter: char| !letter.is_alphanumeric()).any(is_type);
        !(is_actor || table.contains(&format!("`{name}.rs`")) || table.contains(&format!("`{name}/`")))
    };
    names.iter().filter(is_unnamed).cloned().collect()
}

#[test]
fn the_architecture_names_every_file_of_the_large_directories() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for directory in ["src/http/", "src/db/", "src/actors/"] {
        let tables = root.join(directory).join("sql");
        let files = fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
        let names = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
        // The row of `src/db/` says: one file per table.
        let names: Vec<String> = names.filter(|name| !tables.join(name).is_dir()).collect();
        assert_eq!(
            unnamed_files(&document("ARCHITECTURE.md"), directory, &names),
            Vec::<String>::new(),
            "{directory}"
        );
    }
}

#[test]
fn a_file_that_the_architecture_does_not_name_is_found() {
    let text = "AssetPoller asks.\n### `src/actors/`\n| `worker.rs`, `cleaner/` | x |\n### `src/http/`\n| `cors.rs` | x |";
    for (directory, name, is_named) in [
        ("src/actors/", "worker", true),
        ("src/actors/", "cleaner", true),
        ("src/actors/", "asset_poller", true),
        ("src/http/", "asset_poller", false),
        ("src/actors/", "cors", false),
        ("src/http/", "cors", true),
        ("src/http/", "worker", false),
    ] {
        assert_eq!(
            unnamed_files(text, directory, &[name.to_owned()]).is_empty(),
            is_named,
            "{directory} {name}"
        );
    }
}
