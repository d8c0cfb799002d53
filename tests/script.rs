//! `./ticker`, run with stand-ins for the programs that it calls.
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

#[path = "script/needs.rs"]
mod needs;
#[path = "script/release.rs"]
mod release;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A directory of stand-ins that come before the real programs, and one for rustup's.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    /// A machine with a Rust that is new enough.
    fn new() -> Self {
        let machine = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir_all(machine.path("rustup/bin")).unwrap();
        fs::create_dir_all(machine.path("bin")).unwrap();
        machine.program("bin/rustc", "echo 'rustc 1.999.0'");
        machine.program("bin/cargo", "echo \"cargo $*\"");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A program of these lines of shell.
    fn program(&self, name: &str, lines: &str) -> &Self {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_in(Path::new(env!("CARGO_MANIFEST_DIR")), arguments)
    }

    fn run_in(&self, checkout: &Path, arguments: &[&str]) -> Output {
        self.command(checkout, arguments).output().unwrap()
    }

    fn command(&self, checkout: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(checkout.join("ticker"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .env("HOME", self.directory.path())
            .env("CARGO_HOME", self.path("rustup"))
            .env("TICKER_POLICY_FILE", self.path("policy-rc.d"));
        command
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn assert_unavailable(output: &Output, parts: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(69), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

/// `python` stands for every package: the others are found at fixed places of this machine.
const MISSING: &str = "exit 1";

#[test]
fn without_root_one_command_is_named_and_nothing_is_installed() {
    let machine = Machine::new();
    machine.program("bin/python3", MISSING).program("bin/id", "echo 1000").program("bin/sudo", "exit 1");
    machine.program("bin/apt-get", &format!("touch {}", machine.path("called").display()));
    assert_unavailable(&machine.run(&["need", "python"]), &["sudo ", "/ticker need python\n"]);
    assert!(!machine.path("called").exists(), "apt-get was called");
}

#[test]
fn no_service_may_start_while_packages_are_installed_and_any_may_afterwards() {
    for (ending, code) in [("exit 0", 0), ("exit 100", 69)] {
        let machine = Machine::new();
        machine.program("bin/python3", MISSING).program("bin/id", "echo 0");
        let (policy, log) = (machine.path("policy-rc.d"), machine.path("log"));
        let apt_get = format!("{} >>{log}; echo $? >>{log}; {ending}", policy.display(), log = log.display());
        machine.program("bin/apt-get", &apt_get);
        let output = machine.run(&["need", "python"]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        let asked = fs::read_to_string(log).unwrap();
        assert!(asked.lines().count() > 0 && asked.lines().all(|line| line == "101"), "{asked}");
        assert!(!policy.exists(), "services stay forbidden");
    }
}

#[test]
fn a_policy_of_the_machine_stays() {
    let machine = Machine::new();
    machine.program("bin/python3", MISSING).program("bin/id", "echo 0").program("bin/apt-get", "exit 0");
    machine.program("policy-rc.d", "exit 101");
    assert_eq!(machine.run(&["need", "python"]).status.code(), Some(0));
    assert!(machine.path("policy-rc.d").exists());
}

#[test]
fn an_old_rust_is_refused_with_both_versions_and_the_remedy() {
    let machine = Machine::new();
    machine.program("bin/rustc", "echo 'rustc 1.63.0'");
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    let parts = ["is Rust 1.63, and this program needs ", wanted, "sh.rustup.rs"];
    for command in ["demo", "run", "test", "check"] {
        assert_unavailable(&machine.run(&[command]), &parts);
    }
    machine.program("rustup/bin/rustup", "exit 0").program("rustup/bin/rustc", "echo 'rustc 1.87.1'");
    assert_unavailable(&machine.run(&["demo"]), &["1.87", wanted, "rustup update stable"]);
}

/// rustup may install a toolchain when it is first asked for a version, which takes minutes.
#[test]
fn what_rustup_says_while_it_installs_a_toolchain_is_shown() {
    let machine = Machine::new();
    machine.program("bin/rustc", "echo 'info: downloading' >&2; echo 'rustc 1.999.0'");
    let output = machine.run(&["test"]);
    assert!(stderr(&output).contains("info: downloading"), "{}", stderr(&output));
    machine.program("bin/rustc", "echo 'error: no network' >&2; exit 1");
    assert_unavailable(&machine.run(&["demo"]), &["error: no network", "rustup toolchain install stable"]);
}

#[test]
fn rustups_rust_is_taken_where_the_distributions_is_too_old() {
    let machine = Machine::new();
    machine.program("bin/rustc", "echo 'rustc 1.63.0'").program("bin/cargo", "exit 1");
    machine
        .program("rustup/bin/rustc", "echo 'rustc 2.0.0'")
        .program("rustup/bin/cargo", "echo \"cargo $*\"");
    let output = machine.run(&["test", "NAME"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let called = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(called, "cargo test --no-run NAME\ncargo test NAME\n");
    assert_eq!(steps(&output), ["build", "tests"]);
}

/// Names of the steps whose time was printed, in order.
fn steps(output: &Output) -> Vec<String> {
    let text = stderr(output);
    let name = |line: &str| {
        let (name, time) = line.strip_prefix("ticker: ")?.split_once(" took ")?;
        time.strip_suffix(" s")?.parse::<u32>().ok()?;
        Some(name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// A repository with `./ticker` and a first commit on `main`, where `work` is checked out.
struct Checkout {
    directory: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        let checkout = Self { directory: tempfile::tempdir().unwrap() };
        for name in ["ticker", "Cargo.toml"] {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            fs::copy(source, checkout.directory.path().join(name)).unwrap();
        }
        checkout.git(&["init", "--quiet", "--initial-branch=main"]);
        // This landed commit has no body: only those that have not landed are checked.
        checkout.commit("start");
        checkout.git(&["checkout", "--quiet", "-b", "work"]);
        checkout
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        let identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"];
        command.current_dir(self.directory.path()).args(identity).args(arguments);
        // A hook of the real repository sets these for the tests that it runs.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        assert!(command.status().unwrap().success(), "git {arguments:?}");
    }

    fn commit(&self, message: &str) {
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
    }

    /// Runs `check` on a machine where every other step passes.
    fn check(&self) -> Output {
        let machine = Machine::new();
        let rustc = "echo 'rustc 1.999.0'; [ \"$1\" = -vV ] || { printf '#!/bin/sh\\n' >target/prose; chmod +x target/prose; }";
        let rustc = format!("mkdir -p target; {rustc}");
        machine.program("bin/rustc", &rustc);
        for name in ["bin/cc", "bin/cargo-deny", "bin/cargo-machete"] {
            machine.program(name, "exit 0");
        }
        machine.run_in(self.directory.path(), &["check"])
    }
}

#[test]
fn check_prints_the_time_of_each_step() {
    let checkout = Checkout::new();
    checkout.commit("area: change it\n\nBecause it was wrong.");
    let output = checkout.check();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let expected =
        ["commits", "format", "prose", "clippy", "documentation", "dependencies", "unused dependencies"];
    assert_eq!(steps(&output), expected);
}

#[test]
fn check_refuses_commits_with_long_subjects_or_without_a_body() {
    // Characters count, not bytes.
    let longest = "ü".repeat(72);
    let long = "ü".repeat(73);
    for (message, fault) in [
        (format!("{longest}\n\nThe reason."), None),
        (format!("{long}\n\nThe reason."), Some("the subject has 73 characters, at most 72")),
        ("area: change it".to_owned(), Some("the body is missing")),
        ("area: change it\n\nSigned-off-by: Test <test@localhost>".to_owned(), Some("the body is missing")),
    ] {
        let checkout = Checkout::new();
        checkout.commit(&message);
        checkout.commit("area: change it again\n\nA second reason.");
        let output = checkout.check();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(i32::from(fault.is_some())), "{text}");
        assert_eq!(text.matches("ticker: commit ").count(), usize::from(fault.is_some()), "{text}");
        assert!(text.contains(fault.unwrap_or("commits took ")), "{text}");
    }
}

#[test]
fn commits_of_the_remotes_main_have_landed_and_those_of_the_local_main_have_not() {
    let checkout = Checkout::new();
    checkout.commit("landed at the remote");
    checkout.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    assert_eq!(checkout.check().status.code(), Some(0));
    checkout.commit("only here");
    checkout.git(&["branch", "--force", "main"]);
    let output = checkout.check();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("\"only here\": the body is missing"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("landed at the remote"), "{}", stderr(&output));
}

#[test]
fn without_a_remote_the_commits_of_main_are_checked_since_the_newest_tag() {
    let checkout = Checkout::new();
    checkout.git(&["tag", "v1"]);
    checkout.git(&["checkout", "--quiet", "main"]);
    assert_eq!(checkout.check().status.code(), Some(0), "nothing is newer than the tag");
    checkout.commit("area: change it\n\nThe reason.");
    assert_eq!(checkout.check().status.code(), Some(0));
    checkout.commit(&format!("{}\n\nThe reason.", "a".repeat(73)));
    let output = checkout.check();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("the subject has 73 characters"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("\"start\""), "the tagged commit: {}", stderr(&output));
}

#[test]
fn without_a_remote_or_a_tag_all_commits_of_main_are_checked() {
    let checkout = Checkout::new();
    checkout.git(&["checkout", "--quiet", "main"]);
    checkout.commit("area: change it\n\nThe reason.");
    let output = checkout.check();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("\"start\": the body is missing"), "{}", stderr(&output));
}

#[test]
fn check_looks_for_rustfmt_and_clippy_before_anything_else() {
    for (component, command) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let machine = Machine::new();
        machine.program("bin/cargo", &format!("[ \"$1\" != {command} ] || exit 1; [ \"$2\" = --version ]"));
        let parts = [component, "is missing", "rustup component add rustfmt clippy"];
        assert_unavailable(&machine.run(&["check"]), &parts);
    }
}

#[test]
fn the_build_shows_its_progress_and_says_how_long_it_takes() {
    let machine = Machine::new();
    for command in ["demo", "run"] {
        let output = machine.run(&[command, "--database-url", "postgres://db/ticker"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stderr(&output).contains("the first build takes about "), "{}", stderr(&output));
        let called = String::from_utf8(output.stdout).unwrap();
        assert!(called.starts_with("cargo run ") && !called.contains("--quiet"), "{called}");
    }
}

/// Documents call the program by its name alone, and a checkout installs it nowhere.
#[test]
fn the_readme_says_where_the_program_is_after_each_command() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let machine = Machine::new();
    for (command, option, profile) in
        [("demo", " --profile demo ", "demo"), ("run", " --release ", "release")]
    {
        let output = machine.run(&[command, "--database-url", "postgres://db/ticker"]);
        let called = String::from_utf8(output.stdout).unwrap();
        assert!(called.contains(option), "{called}");
        let path = format!("`target/{profile}/stellar-ticker`");
        assert!(readme.contains(&path), "README.md does not name {path}");
    }
}

/// Git keeps no empty directory, so a target without a seed in git fails only on a fresh checkout.
#[test]
fn every_fuzz_target_has_a_program_and_a_seed_in_git() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(root.join("ticker")).unwrap();
    let quoted = script.split_once("  targets='").and_then(|(_, rest)| rest.split_once('\'')).unwrap();
    let targets: BTreeSet<_> = quoted.0.split_whitespace().map(str::to_owned).collect();
    let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let programs =
        manifest["bin"].as_array().unwrap().iter().map(|program| program["name"].as_str().unwrap());
    assert_eq!(programs.map(str::to_owned).collect::<BTreeSet<_>>(), targets);
    let output = Command::new("git").current_dir(root).args(["ls-files", "fuzz/seeds"]).output().unwrap();
    let files = String::from_utf8(output.stdout).unwrap();
    let seeded = files.lines().filter_map(|path| path.strip_prefix("fuzz/seeds/")?.split_once('/'));
    let seeded: BTreeSet<_> = seeded.map(|(target, _)| target.to_owned()).collect();
    assert_eq!(seeded, targets, "targets with a seed in git");
}
