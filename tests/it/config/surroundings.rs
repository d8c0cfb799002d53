//! Surroundings of the settings: foreign variables, names of networks, files, directories and addresses.

use super::*;

#[test]
fn unknown_variables_are_refused_with_a_suggestion_where_one_is_near() {
    for (variable, suggestion) in [
        ("TICKER_BIN", Some("TICKER_BIND")),
        ("TICKER_RETENTION_DAY", Some("TICKER_RETENTION_DAYS")),
        ("TICKER_PORT", Some("TICKER_BIND")),
        ("TICKER_ADDRESS", Some("TICKER_BIND")),
        ("TICKER_DATABASE_URL", Some("DATABASE_URL")),
        ("TICKER_HORIZON_URL", Some("HORIZON_URL")),
        ("TICKER_CA_FILE", Some("SSL_CERT_FILE")),
        ("TICKER_TESTNET", Some("TICKER_NETWORK")),
        ("TICKER_LOG", Some("RUST_LOG")),
        ("TICKER_XYZZY", None),
    ] {
        for command in [&["config", "check"] as &[&str], &["serve"], &["horizon-sim"], &["demo"]] {
            let error = parse(command, &[(variable, "8080")]).expect_err("it is unknown");
            assert_eq!(error.exit_code(), 78, "{variable}");
            let text = error.to_string();
            assert!(text.contains(&format!("unknown variable {variable} in the environment")), "{text}");
            match suggestion {
                Some(meant) => assert!(text.contains(&format!("did you mean {meant}?")), "{text}"),
                None => assert!(!text.contains("did you mean"), "{text}"),
            }
        }
    }
}

#[test]
fn variables_that_others_set_are_no_fault() {
    // Kubernetes sets these for a service named `ticker`, Docker for a linked container.
    for (variable, value) in [
        ("TICKER_SERVICE_HOST", "10.0.0.1"),
        ("TICKER_SERVICE_PORT", "8000"),
        ("TICKER_SERVICE_PORT_HTTP", "8000"),
        ("TICKER_PORT", "tcp://10.0.0.1:8000"),
        ("TICKER_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("TICKER_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("TICKER_ADMIN_PORT_9090_TCP_PROTO", "tcp"),
        ("TICKER_NAME", "/web/ticker"),
        ("TICKER_ENV_POSTGRES_VERSION", "17.2"),
        ("TICKER_DB_NAME", "/web/ticker_db"),
        ("TICKER_DB_ENV_LANG", "C"),
        ("TICKER_XYZZY", ""),
        ("OTHER_BIND", "x"),
    ] {
        config_of(&[], &[(variable, value)]);
    }
}

/// Names that begin like ours in a text.
fn variables_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("TICKER_").map(|(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
        rest[..end.unwrap_or(rest.len())].trim_end_matches('_')
    })
}

#[test]
fn every_variable_that_the_project_itself_uses_is_known() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [
        "ticker",
        ".ci/run",
        "Dockerfile",
        "deploy/compose.yml",
        "deploy/compose-ha.yml",
        "tests/image/run",
        "tests/image/lib.sh",
        "tests/clients/run",
        "tests/documents/metrics.rs",
        "docs/operations.md",
        "CONTRIBUTING.md",
        "README.md",
    ];
    let mut count = 0;
    for file in files.map(|file| root.join(file)) {
        let text = std::fs::read_to_string(&file).unwrap();
        for variable in variables_in(&text).filter(|variable| *variable != "TICKER") {
            let printed = parse(&["config", "show"], &[(variable, "x")]).err().map(|error| error.to_string());
            let unknown = printed.filter(|printed| printed.contains("unknown variable"));
            assert_eq!(unknown, None, "{}", file.display());
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}

#[test]
fn a_name_for_a_network_is_refused_with_what_is_meant() {
    for (network, meant) in [
        ("mainnet", "public"),
        ("pubnet", "public"),
        ("Public", "public"),
        ("pubic", "public"),
        ("TESTNET", "testnet"),
        ("test", "testnet"),
        ("futurenet", "Test SDF Future Network ; October 2022"),
        ("standalone", "Standalone Network ; February 2017"),
    ] {
        let file = written(&format!("network = {network:?}\n"));
        for (arguments, environment) in [
            (&["--network", network] as &[&str], None),
            (&[], Some(("TICKER_NETWORK", network))),
            (&["--config", text_of(file.path())], None),
        ] {
            let error = error_of(arguments, environment.as_slice());
            assert_eq!(error.exit_code(), 78, "{network}");
            assert!(error.to_string().contains(&format!("did you mean \"{meant}\"?")), "{error}");
        }
        assert_eq!(parse(&["horizon-sim", "--network", network], &[]).unwrap_err().exit_code(), 78);
    }
    for passphrase in ["Some Network ; 1", "Standalone Network ; February 2017", "xyzzy"] {
        assert_eq!(config_of(&["--network", passphrase], &[]).network_passphrase, passphrase);
    }
}

#[test]
fn a_check_looks_at_files_directories_and_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("file"), "no certificate").unwrap();
    let with_root = format!("postgres://u@h/db?sslmode=verify-full&sslrootcert={}", path("missing.pem"));
    for (flag, value, reason) in [
        ("--ca-file", path("missing.pem"), "No such file"),
        ("--ca-file", path("file"), "it holds no PEM certificate"),
        ("--nginx", path("missing.conf"), "No such file"),
        ("--nginx", path("."), "it is no regular file"),
        ("--data-dir", path("file"), "is no directory"),
        ("--output-dir", path("file/www"), "is no directory"),
        ("--database-url", with_root, "the file of sslrootcert: No such file"),
        ("--bind", "203.0.113.1:8080".to_owned(), "Cannot assign requested address"),
    ] {
        let error = error_of(&[flag, &value], &[]);
        assert_eq!(error.exit_code(), 78, "{flag} {value}: {error}");
        assert!(error.to_string().contains(reason), "{flag} {value}: {error}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = ["--admin-bind", "127.0.0.1:0", "--data-dir", &path("new/data")];
    match parse(&[&["config", "check", "--bind", &address], &free[..]].concat(), &[]) {
        Ok(command) => {
            let printed = command.answer().unwrap();
            assert!(printed.starts_with("configuration is valid"), "{printed}");
            assert!(printed.contains(&format!("note: bind: {address} is in use now")), "{printed}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!folder.path().join("new").exists(), "a check makes nothing");
}
