//! The guide to debugging: each of its commands answers a real daemon, and each first word of a line that the guide
//! shows begins a line of the answer.

use super::{
    way::{stage, way_with},
    *,
};

/// Stages of a trade that the guide shows.
const STAGES: [&str; 8] = [
    "collect",
    "transaction",
    "TradesCommitted",
    "render",
    "compress",
    "publish",
    "PublicationReady",
    "write_files",
];

/// Trade, batch, trace and market of this daemon, in place of the guide's examples.
struct Subject {
    token: String,
    seq: String,
    trace: String,
    market: String,
}

/// Commands of the guide's questions without their pipes, each with the output that the guide shows.
fn shown() -> Vec<(&'static str, &'static str)> {
    let guide = include_str!("../../../docs/debugging.md").split("\n## ");
    let questions = guide.filter(|section| section.lines().next().is_some_and(|line| line.ends_with('?')));
    let mut shown = Vec::new();
    for question in questions {
        let blocks: Vec<&str> = question.split("```").skip(1).step_by(2).collect();
        for (block, output) in blocks.iter().zip(blocks.iter().skip(1)) {
            let commands = block.strip_prefix("sh\n").into_iter().flat_map(str::lines);
            let commands = commands.filter_map(|line| line.strip_prefix("stellar-ticker "));
            shown.extend(commands.map(|line| (line.split(" | ").next().unwrap(), *output)));
        }
    }
    shown
}

/// Arguments of a command of the guide. The subject takes the place of its example, and options that go on for ever
/// are left out.
fn arguments<'a>(command: &'a str, subject: &'a Subject) -> Vec<&'a str> {
    let mut before = "";
    let mut arguments = Vec::new();
    for word in command.split(' ') {
        let own = match before {
            "--trade" => subject.token.as_str(),
            "--seq" => subject.seq.as_str(),
            "--trace" => subject.trace.as_str(),
            "--min-ms" => "0",
            "explain" => subject.market.as_str(),
            _ => word,
        };
        if !["--watch", "--follow"].contains(&word) {
            arguments.push(own);
        }
        before = word;
    }
    arguments
}

/// First words of the lines that are not indented. A time of day is no word.
fn words(output: &str) -> BTreeSet<&str> {
    let lines = output.lines().filter(|line| !line.starts_with(' '));
    lines.filter_map(|line| line.split_whitespace().find(|word| word.contains(char::is_alphabetic))).collect()
}

#[test]
fn every_command_of_the_guide_answers_with_lines_that_begin_as_the_guide_shows() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = streaming(&sim).await;
        let (mut ledger, _) = push_live(&daemon, &source, LEDGER + 1);
        let market = market(&daemon);
        // Another commit, such as that of an order book, may come before the publication, which then has its number.
        let subject = loop {
            assert!(ledger < LEDGER + 100, "no publication ends with the batch of a trade");
            let token;
            (ledger, token) = push_live(&daemon, &source, ledger + 1);
            let way = way_with(&daemon, &token, &["publish"]);
            let (batch, publication) = (stage(&way, "transaction"), stage(&way, "publish"));
            let seq = &batch["subject"]["seq"];
            if *seq != publication["subject"]["seq"]
                || records(&daemon, &format!("seq={seq}&type=TradesCommitted")).is_empty()
            {
                continue;
            }
            way_with(&daemon, &token, &STAGES);
            let trace = batch["trace"].as_str().unwrap().to_owned();
            break Subject { token, seq: seq.to_string(), trace, market };
        };
        let shown = shown();
        assert!(shown.len() >= 10, "{shown:?}");
        for (line, example) in shown {
            let expected = words(example);
            assert!(!expected.is_empty(), "{line}");
            let arguments = arguments(line, &subject);
            wait_until(&format!("{arguments:?} answers with {expected:?}"), || {
                let (answer, code) = command(&daemon, &arguments);
                code == Some(0) && expected.is_subset(&words(&answer))
            });
        }
        // The commands above ran with 0 in place of the guide's 100 ms, which no message here may reach. None takes a
        // day.
        let (answer, code) = command(&daemon, &["trace", "--actor", "aggregator", "--min-ms", "86400000"]);
        assert!(code == Some(0) && answer.contains("no record matches"), "{code:?}: {answer}");
    });
}
