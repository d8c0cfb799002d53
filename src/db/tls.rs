//! `sslmode` and `sslrootcert`, as libpq knows them, mapped onto rustls.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

use super::error::DbError;

/// How much of the server's certificate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verify {
    /// `prefer`, `require`: any certificate, as libpq does without a root file.
    Nothing,
    /// `verify-ca` and `verify-full`: signed by a trusted root, and made for this host.
    Full,
}

/// What `sslmode` and `sslrootcert` in a connection string ask for, and the string without what tokio-postgres does
/// not know.
pub(super) fn split(url: &str) -> Result<(String, Verify, Option<String>), DbError> {
    let mut verify = Verify::Nothing;
    let mut root = None;
    let mut keep = |name: &str, value: &str| -> Result<Option<String>, DbError> {
        match (name, value) {
            ("sslmode", "disable" | "prefer" | "require") => Ok(Some(format!("{name}={value}"))),
            ("sslmode", "verify-ca" | "verify-full") => {
                verify = Verify::Full;
                Ok(Some("sslmode=require".into()))
            }
            ("sslmode", other) => Err(DbError::Settings(format!("sslmode {other:?} is not known"))),
            ("sslrootcert", path) => {
                root = Some(path.to_owned());
                Ok(None)
            }
            _ => Ok(Some(format!("{name}={value}"))),
        }
    };
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let rest = if is_url {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            kept.extend(keep(name, value)?);
        }
        if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) }
    } else {
        let mut kept = Vec::new();
        for word in url.split_whitespace() {
            match word.split_once('=') {
                Some((name @ ("sslmode" | "sslrootcert"), value)) => kept.extend(keep(name, value)?),
                _ => kept.push(word.to_owned()), // also the parts of a quoted value
            }
        }
        kept.join(" ")
    };
    Ok((rest, verify, root))
}

/// The client side of TLS.
pub(super) fn config(
    verify: Verify,
    root: Option<&Path>,
    ca_file: Option<&Path>,
) -> Result<ClientConfig, DbError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| DbError::Settings(error.to_string()))?;
    if verify == Verify::Nothing {
        let any = Arc::new(AnyCertificate(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(any).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    match root {
        Some(path) => add(&mut roots, path)?, // these alone, as with libpq
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    if let Some(path) = ca_file {
        add(&mut roots, path)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| DbError::Settings(error.to_string()))?;
    Ok(builder.with_webpki_verifier(verifier).with_no_client_auth())
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), DbError> {
    let told = |error: &dyn std::fmt::Display| DbError::Settings(format!("{}: {error}", path.display()));
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| told(&error))? {
        roots.add(certificate.map_err(|error| told(&error))?).map_err(|error| told(&error))?;
    }
    Ok(())
}

/// Takes any certificate: encrypted, but nobody knows with whom. What libpq's `require` means.
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

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libpq_modes_are_mapped_in_both_forms_of_a_connection_string() {
        for (given, rest, verify, root) in [
            ("postgres://u:p@h/db", "postgres://u:p@h/db", Verify::Nothing, None),
            ("postgres://u@h/db?sslmode=disable", "postgres://u@h/db?sslmode=disable", Verify::Nothing, None),
            (
                "postgresql://u@h/db?sslmode=verify-full&sslrootcert=/r.pem&connect_timeout=3",
                "postgresql://u@h/db?sslmode=require&connect_timeout=3",
                Verify::Full,
                Some("/r.pem"),
            ),
            ("host=/run user=ticker", "host=/run user=ticker", Verify::Nothing, None),
            (
                "host=h sslmode=verify-ca sslrootcert=/r.pem",
                "host=h sslmode=require",
                Verify::Full,
                Some("/r.pem"),
            ),
        ] {
            assert_eq!(split(given).unwrap(), (rest.to_owned(), verify, root.map(str::to_owned)), "{given}");
        }
        assert!(split("postgres://h/db?sslmode=maybe").is_err());
    }

    #[test]
    fn a_root_file_that_is_not_there_is_told() {
        let error = config(Verify::Full, Some(Path::new("/no/such.pem")), None).unwrap_err();
        assert!(error.to_string().contains("/no/such.pem"));
    }
}
