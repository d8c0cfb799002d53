//! Plain English: wordings that no document, comment, message or name may use.
//!
//! Only `std` is used, so that `./ticker check` compiles this file alone, in a second. `./ticker test` runs it too.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// Wordings that are refused, word by word, and a plain one. Names are split: `is_told` and `NeverTold` hold "told".
const REFUSED: [(&[&str], &str); 14] = [
    (&["told"], "say who sends, says or reports what"),
    (&["heard"], "received, notified"),
    (&["anew"], "again, or a verb: reloaded, rebuilt, restarted"),
    (&["comes", "to"], "amounts to, adds up to, reaches, becomes"),
    (&["come", "to"], "amount to, add up to, reach, become"),
    (&["came", "to"], "amounted to, added up to, reached, became"),
    (&["to", "be", "had"], "available, unavailable"),
    (&["where", "that", "is", "so"], "if so, then"),
    (&["where", "this", "is", "so"], "if so, then"),
    (&["where", "it", "is", "so"], "if so, then"),
    (&["of", "a", "run", "before"], "from an earlier run"),
    (&["of", "the", "run", "before"], "from the earlier run"),
    (&["lets", "nobody", "in"], "authentication failed"),
    (&["let", "nobody", "in"], "authentication failed"),
];

/// First words that make a doc comment a riddle: it begins with a noun or a verb.
const DOC_STARTS: [&str; 5] = ["what", "how", "whether", "who", "that"];

/// Words behind which a "who" stands for "whoever".
const BEFORE_ODD_WHO: [&str; 8] = ["for", "than", "to", "by", "with", "but", "only", "from"];

/// Calls whose text an operator reads: log macros and the messages of errors.
const LOGGED: [&str; 12] = [
    "trace!",
    "debug!",
    "info!",
    "warn!",
    "error!",
    "event!",
    "span!",
    "debug_span!",
    "info_span!",
    "warn_span!",
    "error_span!",
    "#[error",
];

/// Rust's debug output, as it looks in a document.
const DEBUG_OUTPUT: [&str; 3] = ["Some(", "=[\"", "=Ok("];

/// Directories without prose of ours. Migrations never change: their checksums are in every database.
const SKIPPED: [&str; 7] = ["target", "node_modules", "data", ".git", ".venv", "vendor", "migrations"];

/// This file spells what it refuses.
const ITSELF: &str = "tests/prose.rs";

/// A wording that is refused, and where.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    line: usize,
    wording: String,
    instead: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: \"{}\"; instead: {}", self.line, self.wording, self.instead)
    }
}

/// A word in lower case, or a punctuation mark; either with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(usize, String),
    Mark(char),
}

impl Token {
    fn is_word(&self, wanted: &str) -> bool {
        matches!(self, Self::Word(_, word) if word == wanted)
    }
}

/// The text in words and marks. Names are split at `_` and at capitals. A comment over several lines is one text.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut was_comment = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start();
        // SQL's comments begin with dashes, and items of lists with one.
        let bare = line.strip_prefix("-- ").unwrap_or(line);
        let bare = bare.trim_start_matches(['/', '!', '#']).trim_start();
        let is_comment = bare.len() < line.len();
        let is_item = bare.starts_with(['*', '-', '>', '|']);
        // A comment begins a sentence, and so do an item of a list and what follows an empty line.
        if bare.is_empty() || is_item || is_comment != was_comment {
            found.push(Token::Mark('.'));
        }
        was_comment = is_comment;
        split_line(at + 1, bare, &mut found);
    }
    found
}

fn split_line(number: usize, line: &str, found: &mut Vec<Token>) {
    let mut word = String::new();
    let mut characters = line.chars();
    let mut end = |word: &mut String, mark: Option<char>| {
        if !word.is_empty() {
            found.push(Token::Word(number, std::mem::take(word)));
        }
        found.extend(mark.map(Token::Mark));
    };
    let mut was_lower = false;
    while let Some(character) = characters.next() {
        let is_new_word = character.is_uppercase() && was_lower;
        was_lower = character.is_lowercase() || character.is_ascii_digit();
        match character {
            _ if character.is_alphanumeric() => {
                if is_new_word {
                    end(&mut word, None);
                }
                word.extend(character.to_lowercase());
            }
            // An escape in a string is no letter: "\ntold".
            '\\' => {
                characters.next();
                end(&mut word, None);
            }
            '_' | '\'' | '-' => end(&mut word, None),
            _ if character.is_whitespace() => end(&mut word, None),
            mark => end(&mut word, Some(mark)),
        }
    }
    end(&mut word, None);
}

/// Refused wordings, over line breaks too, but not over punctuation.
fn refused_wordings(tokens: &[Token]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(line, _) = token else { continue };
        for (wording, instead) in REFUSED {
            let here = tokens[at..].iter().take(wording.len());
            if here.len() == wording.len() && here.zip(wording).all(|(token, word)| token.is_word(word)) {
                found.push(Violation { line: *line, wording: wording.join(" "), instead });
            }
        }
    }
    found
}

/// "Who" for "whoever": at the start of a sentence that is no question, and behind a preposition.
fn odd_whos(tokens: &[Token]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(line, word) = token else { continue };
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        let is_odd = match before {
            None | Some(Token::Mark('.' | ';' | '"')) => {
                let end = tokens[at..].iter().find(|token| matches!(token, Token::Mark('.' | '?' | ';')));
                end != Some(&Token::Mark('?'))
            }
            Some(Token::Mark(_)) => false,
            Some(Token::Word(_, before)) => BEFORE_ODD_WHO.contains(&before.as_str()),
        };
        if word == "who" && is_odd {
            let instead = "a client that …, the writer that …, anyone who …";
            found.push(Violation { line: *line, wording: "who (for whoever)".to_owned(), instead });
        }
    }
    found
}

/// Doc comments that begin with one of `DOC_STARTS`.
fn odd_doc_starts(text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut before = "";
    for (at, line) in text.lines().enumerate() {
        let marker = ["///", "//!"].into_iter().find(|marker| line.trim_start().starts_with(marker));
        let marker = marker.unwrap_or_default();
        if !marker.is_empty() && marker != before {
            let comment = line.trim_start().trim_start_matches(marker);
            let letters = |word: &str| word.chars().take_while(char::is_ascii_alphabetic).collect::<String>();
            let first = comment.split_whitespace().next().map(letters).unwrap_or_default();
            if DOC_STARTS.contains(&first.to_lowercase().as_str()) {
                let wording = format!("{marker} {first}");
                let instead = "begin with a noun or a verb";
                found.push(Violation { line: at + 1, wording, instead });
            }
        }
        before = marker;
    }
    found
}

/// The arguments of a call, up to its closing bracket; `text` begins behind the opening one.
fn arguments(text: &str) -> &str {
    let (mut depth, mut is_quoted, mut is_escaped) = (1_u32, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted && depth == 1 => return &text[..at],
            ')' if !is_quoted => depth -= 1,
            _ => {}
        }
    }
    text
}

/// Debug forms in what Rust code logs: `?field`, `name = ?value`, `{value:?}`. Test modules may use them.
fn debug_forms(text: &str) -> Vec<Violation> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for name in LOGGED {
        for (at, start) in code.match_indices(&format!("{name}(")) {
            let is_end_of_another = code[..at].ends_with(|last: char| last.is_alphanumeric() || last == '_');
            let call = arguments(&code[at + start.len()..]);
            if !is_end_of_another && has_debug_form(call) {
                let line = code[..at].matches('\n').count() + 1;
                let instead = "plain words, or numbers with the unit in the field's name";
                found.push(Violation { line, wording: call.trim().to_owned(), instead });
            }
        }
    }
    found
}

fn has_debug_form(call: &str) -> bool {
    let mut before = ',';
    for (place, part) in call.split('"').enumerate() {
        if place % 2 == 1 && [":?}", ":#?}"].iter().any(|form| part.contains(form)) {
            return true;
        }
        for character in part.chars().filter(|character| place % 2 == 0 && !character.is_whitespace()) {
            // Behind anything else a question mark passes an error on.
            if character == '?' && matches!(before, ',' | '=' | '(') {
                return true;
            }
            before = character;
        }
    }
    false
}

/// Debug output that a document shows as a log line.
fn debug_output(text: &str) -> Vec<Violation> {
    let lines = text.lines().enumerate();
    let shown = lines.filter_map(|(at, line)| {
        let form = DEBUG_OUTPUT.into_iter().find(|form| line.contains(form))?;
        Some(Violation { line: at + 1, wording: form.to_owned(), instead: "plain words" })
    });
    shown.collect()
}

/// Everything that is refused in a file of this name.
fn violations(path: &str, text: &str) -> Vec<Violation> {
    let tokens = tokens(text);
    let mut found = refused_wordings(&tokens);
    found.extend(odd_whos(&tokens));
    if path.ends_with(".rs") {
        found.extend(odd_doc_starts(text));
        found.extend(debug_forms(text));
    } else if !is_code(path) {
        found.extend(debug_output(text));
    }
    found.sort_by_key(|violation| violation.line);
    found
}

/// Scripts, statements and templates. They spell `Some(` without showing a log line.
fn is_code(path: &str) -> bool {
    [".js", ".mjs", ".html", ".sql"].iter().any(|ending| path.ends_with(ending))
}

/// Documents, code, and the scripts and configurations that people read.
fn has_prose(path: &str) -> bool {
    let is_script = ["ticker", "nginx.conf", "Dockerfile", "tests/clients/run"].contains(&path);
    let is_text = [".md", ".rs"].iter().any(|ending| path.ends_with(ending));
    let is_of_scripts =
        [".ci/", "deploy/", "tests/image/"].iter().any(|directory| path.starts_with(directory));
    path != ITSELF && (is_script || is_text || is_code(path) || is_of_scripts)
}

/// Files below a directory, by their paths from the root of the repository, where tests run.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                found.extend(files(&path));
            }
        } else {
            found.push(path.to_string_lossy().trim_start_matches("./").to_owned());
        }
    }
    found.sort();
    found
}

#[test]
fn prose_is_plain() {
    let files: Vec<String> = files(Path::new(".")).into_iter().filter(|path| has_prose(path)).collect();
    assert!(files.len() > 300, "only {} files found: is this the root of the repository?", files.len());
    let mut faults = Vec::new();
    for path in files {
        let found = violations(&path, &fs::read_to_string(&path).unwrap());
        faults.extend(found.into_iter().map(|violation| format!("{path}:{violation}")));
    }
    assert!(faults.is_empty(), "wordings that are refused:\n{}", faults.join("\n"));
}

#[test]
fn each_kind_of_violation_is_found() {
    for (path, text, wording) in [
        ("a.md", "The aggregator is told.", "told"),
        ("a.rs", "fn is_told() {}", "told"),
        ("a.rs", "struct NeverTold;", "told"),
        ("a.rs", "let text = \"first\\ntold\";", "told"),
        ("nginx.conf", "# Nothing is heard.", "heard"),
        ("a.rs", "// Windows are\n// made Anew.", "anew"),
        ("a.rs", "/// Trades of a market, and the sum they comes\n    /// to.", "comes to"),
        ("a.md", "* The rows come\n  to 5.", "come to"),
        ("a.md", "The rows came to 5.", "came to"),
        ("ticker", "say \"nginx is not to be had\"", "to be had"),
        ("a.md", "Where that is so, wait.", "where that is so"),
        ("a.md", "Where this is so, wait.", "where this is so"),
        ("a.md", "Where it is so, wait.", "where it is so"),
        ("a.rs", "fn is_of_a_run_before() {}", "of a run before"),
        ("a.md", "Rows of the run before.", "of the run before"),
        ("a.rs", "#[error(\"the database lets nobody in so\")]", "lets nobody in"),
        ("a.md", "They let nobody in.", "let nobody in"),
        ("a.md", "Who decides is the supervisor.", "who (for whoever)"),
        ("a.rs", "// Never quiet, for who drips is slow.", "who (for whoever)"),
        ("a.rs", "assert!(is_served, \"who asks is answered\");", "who (for whoever)"),
        ("a.md", "# 8. Who writes rows owns no tables", "who (for whoever)"),
        ("a.rs", "/// What it holds.\nfield: u8,", "/// What"),
        ("a.rs", "//! How it works.", "//! How"),
        ("a.rs", "/// Whether it runs.", "/// Whether"),
        ("a.rs", "code();\n    /// That it ended.", "/// That"),
        ("a.rs", "//! Module.\n/// Who: the leader?", "/// Who"),
        ("a.rs", "info!(?outcome, \"drained\");", "?outcome, \"drained\""),
        ("a.rs", "#[error(\"held {0:?}\")]", "\"held {0:?}\""),
        ("a.js", "// The page is told.", "told"),
        ("a.mjs", "const isTold = 1;", "told"),
        ("a.html", "<!-- Rows that are made anew. -->", "anew"),
        ("a.sql", "-- Rows of the run\n-- before.", "of the run before"),
        ("a.sql", "SELECT 1 -- for who waits", "who (for whoever)"),
        ("a.md", "    reconnected attempt=Some(3)", "Some("),
        ("a.md", "    migrated applied=[\"V1\"]", "=[\""),
    ] {
        let found = violations(path, text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].wording, wording, "{text}");
    }
}

#[test]
fn plain_prose_passes() {
    for (path, text) in [
        ("a.md", "An untold number of trades. Shepherds overheard canewood."),
        ("a.md", "It comes. To stop it, press Ctrl-C."),
        ("a.md", "Who restarts an actor? A reader who asks twice. The table of who leads."),
        ("a.rs", "/// Trades held.\n/// What is older is in `old`.\nfield: u8,"),
        ("a.rs", "// What follows is sorted."),
        ("a.md", "* A reader\n  who asks twice."),
        ("a.rs", "let that = 1;\n/// Units of the base."),
        ("a.rs", "let text = Some(format!(\"{other:?}\"));"),
        ("a.html", "{% if let Some(link) = next %}{% endif %}"),
        ("a.sql", "-- The reader\n-- who asks twice."),
    ] {
        let found = violations(path, text);
        assert!(found.is_empty(), "{text}: {found:?}");
    }
}

#[test]
fn each_debug_form_is_found_and_nothing_else() {
    for fault in [
        r#"info!(?outcome, "drained")"#,
        r#"warn!(%error, wait = ?wait, "waiting")"#,
        r#"tracing::error!(
            target: "panic", payload = ?text.unwrap_or("no text"), "panicked")"#,
        r#"debug!("{value:?} of {count}")"#,
        r#"info!(first = format!("{:#?}", list), "read")"#,
        r#"let span = info_span!("handling", ?message);"#,
        r#"#[error("{restarts} restarts take {takes:?}")]"#,
    ] {
        assert_eq!(debug_forms(fault).len(), 1, "{fault}");
    }
    for fine in [
        r#"info!(outcome = %outcome, days = cleaned?.days, "really? (yes)")"#,
        r#"info!(count = count(&lines)?, "read"); let other = format!("{other:?}");"#,
        "#[cfg(test)]\nmod tests { fn log() { info!(?outcome) } }",
    ] {
        assert!(debug_forms(fine).is_empty(), "{fine}");
    }
}

#[test]
fn scripts_and_documents_are_checked_and_others_are_not() {
    for path in ["README.md", "src/main.rs", "nginx.conf", "ticker", ".ci/run", "deploy/roles.sql"] {
        assert!(has_prose(path), "{path}");
    }
    for path in ["web/board.js", "tests/clients/feed.mjs", "templates/trace.html", "src/db/sql/lease/seq.sql"]
    {
        assert!(has_prose(path), "{path}");
    }
    for path in ["Cargo.lock", "web/page.css", "tests/prose.rs", "src/a.snap"] {
        assert!(!has_prose(path), "{path}");
    }
}
