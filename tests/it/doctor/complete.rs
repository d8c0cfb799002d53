//! The tests of `doctor` are complete: each check fails, or warns, in one of them.

use super::*;

/// Checks that no test here makes fail, with the reason.
const NOT_MADE_TO_FAIL: [(&str, &str); 1] =
    [("database_version", "no older server is installed; a unit test of `app::doctor::database` fails it")];

/// Returns true if the text of a test asserts a failure or a warning of the check. Lines of comments do not count.
fn is_made_to_fail(test: &str, check: &str) -> bool {
    let code = test.lines().filter(|line| !line.trim_start().starts_with("//"));
    let test: String = code.flat_map(str::split_whitespace).collect();
    let is_asserted = ["failure", "warning"]
        .iter()
        .any(|status| test.contains(&format!(".assert(\"{check}\",\"{status}\",")));
    let quoted = format!("\"{check}\"");
    let mut refused = test.split("assert_refused(&setup,").skip(1);
    is_asserted || refused.any(|arguments| arguments.split(',').nth(1) == Some(quoted.as_str()))
}

#[test]
fn every_check_is_made_to_fail_by_a_test_or_has_a_reason() {
    let tests = [
        include_str!("broken_database.rs"),
        include_str!("broken_machine.rs"),
        include_str!("broken_upstream.rs"),
        include_str!("running.rs"),
        include_str!("../lake/examined.rs"),
    ];
    block_on(async {
        let mut setup = Setup::new().await;
        let url = setup.horizon.clone();
        let sources = ["--ledger-source", "lake", "--live-from", "rpc"].map(str::to_owned);
        setup.more.extend(sources);
        setup.more.extend([
            "--lake-url".to_owned(),
            format!("{url}/lake"),
            "--rpc-url".to_owned(),
            format!("{url}/rpc"),
        ]);
        let found = setup.run();
        let names: BTreeSet<&str> =
            found.checks().iter().map(|check| check["name"].as_str().unwrap()).collect();
        assert!(
            names.contains("lake_anchor") && names.contains("rpc_anchor") && names.len() > 35,
            "{names:?}"
        );
        for name in &names {
            let has_reason = NOT_MADE_TO_FAIL.iter().any(|(other, _)| other == name);
            let is_tested = tests.iter().any(|test| is_made_to_fail(test, name));
            assert_eq!(is_tested, !has_reason, "{name}");
        }
        assert!(NOT_MADE_TO_FAIL.iter().all(|(name, reason)| names.contains(name) && !reason.is_empty()));
    });
}

#[test]
fn a_check_that_is_only_named_or_only_sound_is_not_made_to_fail() {
    for (text, expected) in [
        ("found.assert(#, \"failure\", \"words\");", true),
        ("setup\n.run()\n.assert(\n#,\n\"warning\", &words);", true),
        ("assert_refused(&setup, 78, #, \"words\");", true),
        ("    // found.assert(#, \"failure\", \"words\");\nrun();", false),
        ("found.assert(\"other\", \"failure\", #);", false),
        ("assert_refused(&setup, 78, \"other\", #);", false),
        ("assert_eq!(found.check(#)[\"status\"], \"ok\");", false),
    ] {
        let text = text.replace('#', "\"clock\"");
        assert_eq!(is_made_to_fail(&text, "clock"), expected, "{text}");
    }
}
