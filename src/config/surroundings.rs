//! Checks of `config check` beyond the settings themselves: files, directories and addresses.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::fault::{ConfigError, Fault, FaultKind};
use super::resolve::Settings;
use super::typed::Config;
use crate::connection_string::ConnectionString;

/// A file of certificates is a few hundred kilobytes at most.
const CERTIFICATES_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Checks the files, directories and addresses that a valid configuration names.
///
/// Returns notes about what may change until the start, such as an address that is in use.
///
/// # Errors
///
/// Everything that a start would fail for.
pub fn check_surroundings(settings: &Settings, config: &Config) -> Result<Vec<String>, ConfigError> {
    let mut looked = Looked { settings, faults: Vec::new(), notes: Vec::new() };
    if let Some(file) = &config.ca_file {
        looked.fault("ca-file", certificates(file));
    }
    let urls = [("database-url", &config.database_url), ("database-direct-url", &config.database_direct_url)];
    for (name, url) in urls {
        let known = url.as_ref().and_then(|url| ConnectionString::parse(url.expose()).ok());
        if let Some(root) = known.and_then(|known| known.root) {
            let found = certificates(Path::new(&root));
            looked.fault(name, found.map_err(|reason| format!("the file of sslrootcert: {reason}")));
        }
    }
    if let Some(file) = &config.nginx {
        looked.fault("nginx", File::open(file).map(drop).map_err(|error| error.to_string()));
        looked.address("nginx-bind", config.nginx_bind);
    }
    looked.fault("data-dir", directory(&config.data_dir));
    looked.fault("output-dir", directory(&config.output_dir));
    looked.address("bind", config.bind);
    looked.address("admin-bind", config.admin_bind);
    if looked.faults.is_empty() { Ok(looked.notes) } else { Err(ConfigError::new(looked.faults)) }
}

struct Looked<'a> {
    settings: &'a Settings,
    faults: Vec<Fault>,
    notes: Vec<String>,
}

impl Looked<'_> {
    fn fault(&mut self, name: &str, found: Result<(), String>) {
        if let (Err(reason), Some(entry)) = (found, self.settings.get(name)) {
            self.faults.push(entry.fault(FaultKind::Refused, Some(reason)));
        }
    }

    /// An address in use is a note, not a fault: the running ticker may hold it.
    fn address(&mut self, name: &str, address: SocketAddr) {
        let found = TcpListener::bind(address).map(drop);
        match found {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                self.notes.push(format!(
                    "{name}: {address} is in use now, which is right only if this ticker runs"
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

/// Checks that a directory can be written, or made.
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
