//! TLS of requests to Horizon and to the hosts of stellar.toml files.

use std::{path::Path, sync::Arc};

use rustls::ClientConfig;

use super::error::HorizonError;
use crate::outbound::roots;

/// Returns the client's TLS configuration. It trusts the built-in roots and those of `ca_file`.
///
/// # Errors
///
/// [`HorizonError::Setup`] if `ca_file` cannot be read or holds no valid certificates.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, HorizonError> {
    let mut trusted = roots::built_in();
    if let Some(path) = ca_file {
        roots::add_file(&mut trusted, path).map_err(|error| HorizonError::Setup(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HorizonError::Setup(error.to_string()))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
