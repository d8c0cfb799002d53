//! TLS of outbound connections.

use std::{path::Path, sync::Arc};

use rustls::ClientConfig;

use super::roots::{self, RootsError};

/// TLS that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `ca_file` cannot be read or holds no valid certificates.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The library has no version of TLS in common with itself.
    #[error(transparent)]
    Versions(#[from] rustls::Error),
}

/// Returns the client's TLS configuration. It trusts the built-in roots and those of `ca_file`.
///
/// # Errors
///
/// [`TlsError`].
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut trusted = roots::built_in();
    if let Some(path) = ca_file {
        roots::add_file(&mut trusted, path)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
