//! The commands of `docs/upgrades.md` for a server with systemd.

use std::{fs, path::Path};

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The code below a numbered step, its continued lines joined.
fn commands(document: &str, step: &str) -> Vec<String> {
    let (_, rest) = document.split_once(&format!("\n{step}. ")).unwrap();
    let code = rest.split("```").nth(1).unwrap().strip_prefix("sh\n").unwrap();
    let joined = code.replace("\\\n", " ").replace("|\n", "| ");
    let lines = joined.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect()
}

/// A step that everybody takes installs what a later one puts in place, since the migration may be skipped. The
/// unit's settings are those of a role that may not change the schema, and its program is the old one.
#[test]
fn the_migration_under_systemd_runs_the_new_program_as_the_owner_of_the_schema() {
    let (unit, document) = (text("deploy/stellar-ticker.service"), text("docs/upgrades.md"));
    let value = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let old_program = value("ExecStart=").split(' ').next().unwrap();
    let [install] = &commands(&document, "3")[..] else { panic!("one command") };
    let [owner, migrate] = &commands(&document, "4")[..] else { panic!("two commands") };
    assert!(!document.split("\n4. ").next().unwrap().contains("skip this step"));
    let new_program = install.strip_prefix("sudo install -m 0755 target/release/stellar-ticker ").unwrap();
    assert_ne!(new_program, old_program);
    assert!(migrate.ends_with(&format!(" {new_program} migrate")), "{migrate}");
    let file = owner.rsplit(' ').next().unwrap();
    assert!(owner.starts_with("echo 'DATABASE_URL=postgres://ticker_migrate:"), "{owner}");
    assert!(owner.contains("| sudo install -m 0600 /dev/stdin "), "{owner}");
    let files: Vec<_> = migrate.split(' ').filter_map(|word| word.strip_prefix("EnvironmentFile=")).collect();
    assert_eq!(files, [file]);
    assert_ne!(file, value("EnvironmentFile="));
    // A container's engine reads the file itself, as the user who runs it.
    let containers = document.split("\n4. ").nth(1).unwrap().split("```sh\n").nth(2).unwrap();
    let containers = containers.split("```").next().unwrap();
    assert!(containers.contains(&format!("-m 0600 -o \"$(id -un)\" /dev/stdin {file}\n")), "{containers}");
    assert!(containers.contains(&format!("docker run --rm --env-file {file} stellar-ticker:NEW migrate\n")));
    // The step after the migration puts the same program in place.
    let (_, replace) = document.split_once("\n5. ").unwrap();
    assert!(replace.contains(&format!("sudo mv {new_program} {old_program}")));
}
