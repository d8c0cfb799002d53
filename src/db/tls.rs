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
/// Otherwise any certificate is accepted, as in libpq if no root is named. `binds_channel` is true if SCRAM must prove
/// that nobody stands between.
pub(super) fn config(
    verifies_server: bool,
    binds_channel: bool,
    root: Option<&Path>,
    ca_file: Option<&Path>,
) -> Result<ClientConfig, DbError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| DbError::Settings(error.to_string()))?;
    if !verifies_server {
        let any = Arc::new(AnyCertificate { provider, takes_version_1: !binds_channel });
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
/// The server must still prove that the certificate is its own: channel binding relies on that.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    /// True to take a certificate of X.509 version 1 without proof. Its signature cannot be checked, since webpki does
    /// not read it. The recipe of PostgreSQL's manual makes such certificates.
    takes_version_1: bool,
}

impl AnyCertificate {
    fn proved(
        &self,
        checked: Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match checked {
            Err(error) if self.takes_version_1 && error.to_string().contains("UnsupportedCertVersion") => {
                Ok(HandshakeSignatureValid::assertion())
            }
            checked => checked,
        }
    }
}

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

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.proved(rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.proved(rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, OtherError};

    use super::*;

    #[test]
    fn the_error_names_a_missing_root_file() {
        let error = config(true, false, Some(Path::new("/no/such.pem")), None).unwrap_err();
        assert!(error.to_string().contains("/no/such.pem"));
    }

    #[test]
    fn only_a_certificate_that_cannot_be_read_is_taken_without_proof() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let unread = || {
            let reason = Arc::new(std::io::Error::other("UnsupportedCertVersion"));
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(reason)))
        };
        let foreign = rustls::Error::InvalidCertificate(CertificateError::BadSignature);
        let any = AnyCertificate { provider, takes_version_1: true };
        assert!(any.proved(Err(unread())).is_ok() && any.proved(Err(foreign)).is_err());
        let binding = AnyCertificate { takes_version_1: false, ..any };
        assert!(binding.proved(Err(unread())).is_err(), "channel binding could not be believed");
    }
}
