//! Root certificates of TLS connections: those of Mozilla, which are built in, and those of PEM files.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem, pem::PemObject};

/// Error of reading a PEM file.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the certificates in {}: {fault}", .path.display())]
pub struct RootsError {
    path: PathBuf,
    fault: PemError,
}

#[derive(Debug, thiserror::Error)]
enum PemError {
    #[error("{0}")]
    Pem(#[from] pem::Error),
    #[error("{0}")]
    Certificate(#[from] rustls::Error),
    #[error("it holds no PEM certificate")]
    Nothing,
}

/// Returns the built-in roots.
#[must_use]
pub fn built_in() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

/// Adds all certificates of a PEM file.
///
/// # Errors
///
/// [`RootsError`] if the file cannot be read, or if it holds no valid certificates.
pub fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), RootsError> {
    add(roots, path).map_err(|fault| RootsError { path: path.to_owned(), fault })
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), PemError> {
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    if roots.len() > before { Ok(()) } else { Err(PemError::Nothing) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_a_missing_file() {
        let error = add_file(&mut built_in(), Path::new("/no/such.pem")).unwrap_err();
        assert!(error.to_string().contains("/no/such.pem"), "{error}");
    }

    /// A file in another format, such as DER, must not count as no further certificates.
    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        for bytes in [
            &b""[..],
            b"\x30\x82\x01\x0a\x02",
            b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = add_file(&mut built_in(), &path).unwrap_err();
            assert!(error.to_string().ends_with("it holds no PEM certificate"), "{error}");
        }
    }
}
