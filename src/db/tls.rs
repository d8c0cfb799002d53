//! The TLS settings of a connection string, mapped onto rustls.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::error::DbError;
use crate::outbound::roots;

/// Returns the client's TLS configuration.
///
/// With `verifies_server`, a trusted root must have signed the server's certificate, and it must be for this host.
/// Otherwise any certificate is accepted, as in libpq if no root is named.
pub(super) fn config(
    verifies_server: bool,
    root: Option<&Path>,
    ca_file: Option<&Path>,
) -> Result<ClientConfig, DbError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| DbError::Settings(error.to_string()))?;
    if !verifies_server {
        let any = Arc::new(AnyCertificate(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(any).with_no_client_auth());
    }
    // As in libpq, `sslrootcert` replaces the built-in roots.
    let mut trusted = if root.is_some() { RootCertStore::empty() } else { roots::built_in() };
    for path in root.into_iter().chain(ca_file) {
        roots::add_file(&mut trusted, path).map_err(|error| DbError::Settings(error.to_string()))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(trusted), provider)
        .build()
        .map_err(|error| DbError::Settings(error.to_string()))?;
    Ok(builder.with_webpki_verifier(verifier).with_no_client_auth())
}

/// Accepts any certificate, like `require` of libpq: the connection is encrypted, but the server is not authenticated.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // A signature proves nothing where any certificate is accepted, and a certificate of version 1 could not be read.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_a_missing_root_file() {
        let error = config(true, Some(Path::new("/no/such.pem")), None).unwrap_err();
        assert!(error.to_string().contains("/no/such.pem"));
    }
}
