//! The environment of the processes under test.

use std::process::Command;

/// Variables of the surroundings that a process under test keeps. None is a setting.
const KEPT: [&str; 8] =
    ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE", "TICKER_PG_BIN_DIR"];

/// Removes all variables but [`KEPT`], also those that were set before this call: a developer's variables may name a
/// database that is no test's.
pub(crate) fn clean(command: &mut Command) -> &mut Command {
    let kept = KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    command.env_clear().envs(kept)
}

#[test]
fn no_setting_of_the_surroundings_reaches_a_process_under_test() {
    use stellar_ticker::config::SETTINGS;
    let variables: Vec<String> = SETTINGS.iter().flat_map(|setting| setting.variables()).collect();
    assert!(variables.iter().any(|name| name == "DATABASE_DIRECT_URL"), "{variables:?}");
    let mut command = Command::new("env");
    for variable in &variables {
        command.env(variable, "x");
    }
    let output = clean(&mut command).output().unwrap();
    let left = String::from_utf8_lossy(&output.stdout).into_owned();
    let names: Vec<&str> = left.lines().filter_map(|line| line.split('=').next()).collect();
    assert!(names.contains(&"PATH"), "{left}");
    assert_eq!(names.iter().find(|name| variables.iter().any(|variable| variable == *name)), None, "{left}");
}
