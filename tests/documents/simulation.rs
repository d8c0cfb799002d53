//! Commands of documents and of the help that run the daemon on a simulated Horizon, whose trades are invented, and
//! commands on the data of a demo.

use std::{fs, path::Path};

use super::{definition, documents};

/// Address of `horizon-sim` without `--bind`.
const SIMULATED_HORIZON: &str = "http://127.0.0.1:8001";
/// Words that together keep the trades out of the database of `./ticker run`, and out of the one that the environment
/// names.
const APART: [&str; 6] = [
    "--network ",
    "--data-dir ",
    "-u DATABASE_URL ",
    "-u DB_URL ",
    "-u DATABASE_URL_FILE ",
    "-u DB_URL_FILE ",
];

/// Commands on the simulated Horizon that lack one of these words, with the word.
fn unsafe_commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let commands = joined.lines().filter(|line| {
        line.contains("stellar-ticker serve ") && line.contains(&format!("--horizon-url {SIMULATED_HORIZON}"))
    });
    let missing = commands.filter_map(|line| {
        let word = APART.iter().find(|word| !line.contains(*word))?;
        Some(format!("{word:?} is missing: {line}"))
    });
    missing.collect()
}

/// Commands on the data of a demo that take the database which the environment names, if it names one.
fn commands_on_another_database(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let is_on_demo = |line: &&str| line.contains("stellar-ticker ") && line.contains("--data-dir data/demo");
    let keeps_variable =
        |line: &&str| APART.iter().any(|word| word.starts_with("-u ") && !line.contains(word));
    joined.lines().filter(is_on_demo).filter(keeps_variable).map(str::to_owned).collect()
}

fn help_texts() -> Vec<String> {
    definition().get_subcommands().filter_map(|command| Some(command.get_after_help()?.to_string())).collect()
}

#[test]
fn no_example_stores_simulated_trades_in_a_real_database() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = documents(root).into_iter().map(|path| fs::read_to_string(path).unwrap());
    let texts: Vec<String> = pages.chain(help_texts()).collect();
    let examples = texts.iter().filter(|text| text.contains(SIMULATED_HORIZON)).count();
    assert!(examples >= 2, "{examples} texts with the simulated Horizon");
    let wrong: Vec<_> = texts.iter().flat_map(|text| unsafe_commands(text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_example_on_a_demo_uses_another_database() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = documents(root).into_iter().map(|path| fs::read_to_string(path).unwrap());
    let texts: Vec<String> = pages.chain(help_texts()).collect();
    let examples = texts.iter().filter(|text| text.contains("--data-dir data/demo")).count();
    assert!(examples >= 3, "{examples} texts on the data of a demo");
    let wrong: Vec<_> = texts.iter().flat_map(|text| commands_on_another_database(text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let found = |text: &str| commands_on_another_database(text).len();
    assert_eq!(found("stellar-ticker audit --data-dir data/demo"), 1);
    assert_eq!(found("env -u DATABASE_URL -u DB_URL \\\n stellar-ticker audit --data-dir data/demo"), 1);
}

#[test]
fn an_example_that_would_store_simulated_trades_is_found() {
    let apart = "env -u DATABASE_URL -u DB_URL -u DATABASE_URL_FILE -u DB_URL_FILE stellar-ticker serve";
    for (text, wrong) in [
        (format!("{apart} --network S --data-dir /tmp/x \\\n --horizon-url {SIMULATED_HORIZON}"), None),
        (format!("{apart} --network S --horizon-url {SIMULATED_HORIZON}"), Some("\"--data-dir \"")),
        (format!("{apart} --data-dir /tmp/x \\\n --horizon-url {SIMULATED_HORIZON}"), Some("\"--network \"")),
        (
            format!("stellar-ticker serve --network S --data-dir /tmp/x --horizon-url {SIMULATED_HORIZON}"),
            Some("\"-u DATABASE_URL \""),
        ),
        ("stellar-ticker serve --horizon-url https://horizon.stellar.org".to_owned(), None),
    ] {
        let found = unsafe_commands(&text);
        assert_eq!(found.len(), usize::from(wrong.is_some()), "{text}: {found:?}");
        assert!(found.iter().all(|line| line.starts_with(wrong.unwrap_or_default())), "{found:?}");
    }
}
