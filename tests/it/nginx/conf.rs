//! What the configuration says, told from its text.

use crate::support::nginx::conf;

/// The directives, without comments.
fn directives() -> String {
    let text = conf();
    text.lines()
        .map(|line| line.split(" # ").next().unwrap_or_default().trim())
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn knows_no_admin_listener_and_no_path_outside_of_its_prefix() {
    let directives = directives();
    assert!(!directives.contains("9090"), "the admin listener");
    let absolute: Vec<_> = directives
        .lines()
        .filter(|line| {
            ["pid", "root", "alias", "include"].iter().any(|name| line.starts_with(&format!("{name} /")))
                || line.contains("_path /")
        })
        .collect();
    assert!(absolute.is_empty(), "{absolute:?}");
}

#[test]
fn leaves_to_the_daemon_what_is_the_daemons() {
    let directives = directives();
    for name in ["daemon ", "user ", "master_process "] {
        assert!(!directives.lines().any(|line| line.starts_with(name)), "{name}");
    }
}
