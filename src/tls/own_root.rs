//! A server is believed where its own certificate is among the roots that the caller has named, also where that certificate is marked
//! as an authority, as `openssl req -x509` marks what it makes.
//!
//! A strict verifier refuses such a certificate at a server, because an authority's key has no business there. A caller who
//! names this very certificate has decided otherwise. Its dates and its names count as those of any other.

use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::TlsConfigError;

#[derive(Debug)]
pub(super) struct OwnRootVerifier {
    strict: Arc<WebPkiServerVerifier>,
    /// What the caller has named, not what the system believes.
    named: Vec<CertificateDer<'static>>,
    depth: Option<Depth>,
}

/// How many certificates may stand between a server's own and a root.
#[derive(Debug)]
struct Depth {
    most: usize,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Depth {
    /// A path that the strict verifier has found may be longer than another one: they are looked for again.
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let is_short = |path: &VerifiedPath<'_>| match path.intermediate_certificates().count() > self.most {
            true => Err(webpki::Error::MaximumPathDepthExceeded),
            false => Ok(()),
        };
        let verified = EndEntityCert::try_from(end_entity).and_then(|certificate| {
            certificate
                .verify_for_usage(
                    self.algorithms.all,
                    &self.roots.roots,
                    intermediates,
                    now,
                    KeyUsage::server_auth(),
                    None,
                    Some(&is_short),
                )
                .map(drop)
        });
        verified
            .map_err(|error| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error)))))
    }
}

impl OwnRootVerifier {
    pub(super) fn new(
        roots: RootCertStore,
        named: Vec<CertificateDer<'static>>,
        max_intermediates: Option<usize>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsConfigError> {
        let roots = Arc::new(roots);
        let depth = max_intermediates.map(|most| Depth {
            most,
            roots: roots.clone(),
            algorithms: provider.signature_verification_algorithms,
        });
        let strict = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(OwnRootVerifier { strict, named, depth })
    }
}

/// Whether the only thing wrong is that an authority's certificate is a server's. The verifier looks at this after the
/// dates, and before the names.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

impl ServerCertVerifier for OwnRootVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.strict
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(error) if is_authority(&error) && self.named.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => {
                let verified = verified?;
                match &self.depth {
                    Some(depth) => depth.verify(end_entity, intermediates, now).map(|()| verified),
                    None => Ok(verified),
                }
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}
