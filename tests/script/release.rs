//! `./ticker release`: the files that it makes, and the states in which it makes none.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use super::{Checkout, Machine, stderr};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes a program that says VERSION, and an SBOM that names the checkout's path, as cargo-cyclonedx does.
const CARGO: &str = r#"echo "cargo $*"
case $1 in
  build)
    mkdir -p target/release
    printf '#!/bin/sh\necho "stellar-ticker VERSION"\n' >target/release/stellar-ticker
    chmod +x target/release/stellar-ticker ;;
  cyclonedx)
    while [ "$1" != --override-filename ]; do shift; done
    printf '{"path": "file://%s/Cargo.toml"}' "$(pwd -P)" >"$2.json" ;;
esac"#;

/// Verifies checksums, but computes wrong ones.
const WRONG_SUMS: &str = r#"[ "$1" != --check ] || exec /usr/bin/sha256sum "$@"
/usr/bin/sha256sum "$@" | sed 's/^.\{8\}/00000000/'"#;

/// A machine whose cargo builds a program of this version.
fn machine(version: &str) -> Machine {
    let machine = Machine::new();
    machine.program("bin/rustc", "echo 'rustc 1.999.0'; [ \"$1\" != -vV ] || echo 'host: some-target'");
    machine.program("bin/cargo", &CARGO.replace("VERSION", version));
    machine.program("bin/cc", "exit 0").program("bin/cargo-cyclonedx", "exit 0");
    // The commit's time is the second day of 1970, so that no file has it by chance.
    machine.program("bin/git", "[ \"$1\" != log ] || { echo 86400; exit; }\nexec /usr/bin/git \"$@\"");
    machine
}

/// A checkout with every kind of file that belongs into the archive, all committed.
fn checkout() -> Checkout {
    let checkout = Checkout::new();
    let root = checkout.directory.path();
    for directory in ["deploy", "docs"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    for file in ["LICENSE", "README.md", "nginx.conf", "deploy/compose.yml", "docs/run.md"] {
        fs::write(root.join(file), file).unwrap();
    }
    checkout.git(&["add", "."]);
    checkout.commit("area: add them");
    checkout
}

/// Makes a release without an image.
fn release(checkout: &Checkout, machine: &Machine, more: &[&str]) -> Output {
    let arguments = [&["release"][..], more].concat();
    let mut command = machine.command(checkout.directory.path(), &arguments);
    command.env("TICKER_IMAGE_ENGINE", "no-engine").output().unwrap()
}

fn dist(checkout: &Checkout) -> PathBuf {
    checkout.directory.path().join("target/dist")
}

/// Standard output of a program that must succeed in `target/dist`.
fn output_in_dist(checkout: &Checkout, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.current_dir(dist(checkout)).env("LC_ALL", "C").args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_release_is_an_archive_an_sbom_and_their_checksums_and_repeats_to_the_byte() {
    let (checkout, machine) = (checkout(), machine(VERSION));
    let output = release(&checkout, &machine, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("no container engine answers"), "{}", stderr(&output));

    let name = format!("stellar-ticker-{VERSION}-some-target");
    let (archive, sbom) = (format!("{name}.tar.gz"), format!("{name}.cdx.json"));
    let entries = fs::read_dir(dist(&checkout)).unwrap();
    let files: BTreeSet<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, BTreeSet::from([archive.clone(), sbom.clone(), "SHA256SUMS".to_owned()]));

    let listed = output_in_dist(&checkout, "tar", &["--list", "--file", &archive]);
    let packed: BTreeSet<_> = listed.lines().map(|line| line.strip_prefix(&name).unwrap()).collect();
    let expected = [
        "/",
        "/LICENSE",
        "/README.md",
        "/deploy/",
        "/deploy/compose.yml",
        "/docs/",
        "/docs/run.md",
        "/nginx.conf",
        "/stellar-ticker",
    ];
    assert_eq!(packed, BTreeSet::from(expected));
    let long = output_in_dist(&checkout, "tar", &["--list", "--verbose", "--utc", "--file", &archive]);
    assert!(long.lines().all(|line| line.contains(" 0/0 ") && line.contains(" 1970-01-02 00:00 ")), "{long}");
    let text = fs::read_to_string(dist(&checkout).join(&sbom)).unwrap();
    assert_eq!(text, r#"{"path": "file:///stellar-ticker/Cargo.toml"}"#, "the checkout's path is private");

    let verified = output_in_dist(&checkout, "sha256sum", &["--check", "--strict", "SHA256SUMS"]);
    assert_eq!(verified, format!("{sbom}: OK\n{archive}: OK\n"));
    let sums = || fs::read_to_string(dist(&checkout).join("SHA256SUMS")).unwrap();
    let first = sums();
    assert_eq!(release(&checkout, &machine, &[]).status.code(), Some(0));
    assert_eq!(sums(), first, "the same commit gives the same archive");
}

#[test]
fn a_release_with_wrong_checksums_fails() {
    let (checkout, machine) = (checkout(), machine(VERSION));
    machine.program("bin/sha256sum", WRONG_SUMS);
    let output = release(&checkout, &machine, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(!stderr(&output).contains(" is in target/dist"), "{}", stderr(&output));
}

#[test]
fn a_release_is_made_from_a_commit_only() {
    let (checkout, machine) = (checkout(), machine(VERSION));
    fs::write(checkout.directory.path().join("README.md"), "changed").unwrap();
    let output = release(&checkout, &machine, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("uncommitted changes"), "{}", stderr(&output));
    assert!(output.stdout.is_empty() && !dist(&checkout).exists(), "cargo was called");
    let output = release(&checkout, &machine, &["--allow-dirty"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(release(&checkout, &machine, &["--dirty"]).status.code(), Some(64));
}

#[test]
fn a_program_of_another_version_is_not_released() {
    let checkout = checkout();
    let output = release(&checkout, &machine("9.9.9"), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("is not version {VERSION}")), "{}", stderr(&output));
    assert!(!dist(&checkout).exists());
}
