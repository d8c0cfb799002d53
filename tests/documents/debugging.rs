//! The guide to debugging: each of its questions has commands, and each command has its output.

/// A fenced block of a document: the language after the fence, and the text.
type Block<'a> = (&'a str, &'a str);

/// Questions of the guide.
const QUESTIONS: usize = 6;

/// Sections whose heading is a question, with their fenced blocks.
fn questions(document: &str) -> Vec<(&str, Vec<Block<'_>>)> {
    let sections = document.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
    sections
        .filter(|(heading, _)| heading.ends_with('?'))
        .map(|(heading, text)| (heading, blocks(text)))
        .collect()
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    // Every second part lies between two fences.
    text.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n')).collect()
}

/// Questions without a command, and commands that no output follows.
fn incomplete(document: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (heading, blocks) in questions(document) {
        if !blocks.iter().any(|(language, _)| *language == "sh") {
            faults.push(format!("{heading}: no command"));
        }
        for (at, (language, text)) in blocks.iter().enumerate() {
            let is_answered =
                blocks.get(at + 1).is_some_and(|(next, output)| next.is_empty() && !output.is_empty());
            if *language == "sh" && !is_answered {
                faults.push(format!("{heading}: no output of {text}"));
            }
        }
    }
    faults
}

#[test]
fn every_question_of_the_guide_has_commands_with_their_output() {
    let guide = super::document("docs/debugging.md");
    assert_eq!(questions(&guide).len(), QUESTIONS);
    assert_eq!(incomplete(&guide), Vec::<String>::new());
}

#[test]
fn a_question_without_a_command_or_without_output_is_found() {
    for (section, expected) in [
        ("## Why?\n```sh\na\n```\n\n```\nb\n```\n## Else\n```sh\nc\n```\n", None),
        ("## Why?\ntext\n", Some("Why?: no command")),
        ("## Why?\n```\nb\n```\n", Some("Why?: no command")),
        ("## Why?\n```sh\na\n```\n", Some("Why?: no output of a\n")),
        ("## Why?\n```sh\na\n```\n```sh\nb\n```\n```\nc\n```\n", Some("Why?: no output of a\n")),
        ("## Why?\n```sh\na\n```\n```\n```\n", Some("Why?: no output of a\n")),
    ] {
        let found = incomplete(&format!("# Guide\n\n{section}"));
        assert_eq!(found.first().map(String::as_str), expected, "{section}");
    }
}
