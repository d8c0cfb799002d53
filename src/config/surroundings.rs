//! Checks of `config check` beyond the settings themselves: files, directories and addresses.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::fault::{ConfigError, Fault, FaultKind};
use super::settings::Settings;
use super::typed::Config;
use crate::connection_string::ConnectionString;

/// Bytes read of a file of certificates, which has a few hundred kilobytes at most.
const CERTIFICATES_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Checks the files, directories and addresses that a valid configuration names.
///
/// Returns notes about conditions that may change before the start, such as an address in use.
///
/// # Errors
///
/// All faults for which a start would fail.
pub fn check_surroundings(settings: &Settings, config: &Config) -> Result<Vec<String>, ConfigError> {
    let mut checker = Checker { settings, faults: Vec::new(), notes: Vec::new() };
    if let Some(file) = &config.ca_file {
        checker.fault("ca-file", certificates(file));
    }
    let urls = [("database-url", &config.database_url), ("database-direct-url", &config.database_direct_url)];
    for (name, url) in urls {
        let known = url.as_ref().and_then(|url| ConnectionString::parse(url.expose()).ok());
        if let Some(root) = known.and_then(|known| known.root) {
            let found = certificates(Path::new(&root));
            checker.fault(name, found.map_err(|reason| format!("the file of sslrootcert: {reason}")));
        }
    }
    if let Some(file) = &config.nginx {
        checker.fault("nginx", regular_file(file));
        checker.address("nginx-bind", config.nginx_bind);
    }
    checker.fault("data-dir", directory(&config.data_dir));
    checker.fault("output-dir", directory(&config.output_dir));
    checker.address("bind", config.bind);
    checker.address("admin-bind", config.admin_bind);
    if checker.faults.is_empty() { Ok(checker.notes) } else { Err(ConfigError::new(checker.faults)) }
}

struct Checker<'a> {
    settings: &'a Settings,
    faults: Vec<Fault>,
    notes: Vec<String>,
}

impl Checker<'_> {
    fn fault(&mut self, name: &str, found: Result<(), String>) {
        if let (Err(reason), Some(entry)) = (found, self.settings.get(name)) {
            self.faults.push(entry.fault(FaultKind::Refused, Some(reason)));
        }
    }

    /// Checks an address. If it is in use, that is a note and no fault, because the running ticker may use it.
    fn address(&mut self, name: &str, address: SocketAddr) {
        let found = TcpListener::bind(address).map(drop);
        match found {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                self.notes.push(format!(
                    "{name}: {address} is in use now, which is expected only while this ticker runs"
                ));
            }
            other => self.fault(name, other.map_err(|error| error.to_string())),
        }
    }
}

/// Checks that a file can be read and holds certificates.
fn certificates(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(CERTIFICATES_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(())
    } else {
        Err("it holds no PEM certificate".to_owned())
    }
}

/// Checks that a file can be read. A directory can be opened too.
fn regular_file(path: &Path) -> Result<(), String> {
    let metadata = File::open(path).and_then(|file| file.metadata()).map_err(|error| error.to_string())?;
    if metadata.is_file() { Ok(()) } else { Err("it is no regular file".to_owned()) }
}

/// Checks that a directory can be written or created.
fn directory(path: &Path) -> Result<(), String> {
    let absolute = std::path::absolute(path).map_err(|error| error.to_string())?;
    let is_there = |path: &&Path| fs::symlink_metadata(path).is_ok();
    let Some(nearest) = absolute.ancestors().find(is_there) else { return Ok(()) };
    if !nearest.is_dir() {
        return Err(format!("{} is no directory", nearest.display()));
    }
    let may = access(nearest, AccessFlags::W_OK | AccessFlags::X_OK);
    may.map_err(|errno| format!("{} cannot be written: {}", nearest.display(), errno.desc()))
}
