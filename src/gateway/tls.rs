//! TLS on both sides: our certificate, which can change while we run, and what we believe upstream.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Why a certificate or an authority cannot be used; says which file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {file}: {cause}; check the path and that we may read it")]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: rustls_pki_types::pem::Error,
    },
    /// The chain or the key does not make a certificate.
    #[error("the certificate {certificate} and the key {key} do not fit: {cause}")]
    Unfit {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
    /// There is nothing in the file.
    #[error("no certificate in {0}; it must be in PEM form")]
    Empty(PathBuf),
    /// The machine's own authorities cannot be used.
    #[error(
        "the machine's certificate authorities cannot be used: {0}; name a file with upstream.ca_file"
    )]
    Authorities(rustls::Error),
}

/// Makes `ring` the one provider of cryptography in this process.
pub fn install_provider() {
    // An error only says that it was done before.
    let _ = ring::default_provider().install_default();
}

/// An acceptor for SMTP sessions, with the chain and key from these PEM files.
///
/// # Errors
/// When a file cannot be read or the two do not fit.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|cause| TlsError::Read {
        file: key.to_owned(),
        cause,
    })?;
    let unfit = |cause| TlsError::Unfit {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        cause,
    };
    let certified =
        CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(unfit)?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(certified))));
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Shows the same certificate to everybody. A reload makes a new acceptor; sessions that are open keep theirs.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A connector that believes the authorities in `ca_file`, or the machine's own.
///
/// # Errors
/// When the authorities cannot be read.
pub fn verifying_connector(ca_file: Option<&Path>) -> Result<TlsConnector, TlsError> {
    let builder = ClientConfig::builder();
    let config = match ca_file {
        Some(file) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(file)?);
            if roots.is_empty() {
                return Err(TlsError::Empty(file.to_owned()));
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => builder
            .with_platform_verifier()
            .map_err(TlsError::Authorities)?
            .with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A connector that encrypts without asking who the other side is (RFC 7435).
#[must_use]
pub fn opportunistic_connector() -> TlsConnector {
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |cause| TlsError::Read {
        file: file.to_owned(),
        cause,
    };
    let chain = CertificateDer::pem_file_iter(file)
        .map_err(read)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(read)?;
    if chain.is_empty() {
        return Err(TlsError::Empty(file.to_owned()));
    }
    Ok(chain)
}

/// Encryption against those who only listen: better than clear text where nothing was demanded.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
