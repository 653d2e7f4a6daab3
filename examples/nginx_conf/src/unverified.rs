//! `proxy_ssl_verify off`: TLS with any server that answers. What an upstream says is hidden from a listener, not from an attacker in between.

use std::sync::Arc;

use switchover::tls::TlsClientConfig;
use switchover::tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use switchover::tls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use switchover::tls::rustls::pki_types::pem::PemObject;
use switchover::tls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use switchover::tls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
};
use webpki::RawPublicKeyEntity;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

/// Believes every certificate. That its owner is the one who answers is proved all the same.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        match key_of_version_1(certificate) {
            None => verify_tls12_signature(message, certificate, signed, algorithms),
            Some(key) => is_signed_by(&key, message, signed, algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        match key_of_version_1(certificate) {
            None => verify_tls13_signature(message, certificate, signed, algorithms),
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, signed, algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The key in a certificate of version 1, which webpki does not read. Of another it finds the key itself.
pub(crate) fn key_of_version_1<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Option<SubjectPublicKeyInfoDer<'a>> {
    let (_, read) = X509Certificate::from_der(certificate).ok()?;
    let key = read.tbs_certificate.subject_pki.raw;
    (read.version() == X509Version::V1).then(|| key.into())
}

/// As rustls judges it: by any of the algorithms that the scheme may stand for.
pub(crate) fn is_signed_by(
    key: &SubjectPublicKeyInfoDer<'_>,
    message: &[u8],
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let wrong = |why| Error::InvalidCertificate(why);
    let key = RawPublicKeyEntity::try_from(key).map_err(|_| wrong(CertificateError::BadEncoding))?;
    let known = algorithms
        .mapping
        .iter()
        .filter(|(scheme, _)| *scheme == signed.scheme);
    let mut known = known.flat_map(|(_, algorithms)| algorithms.iter());
    match known.any(|algorithm| {
        key.verify_signature(*algorithm, message, signed.signature())
            .is_ok()
    }) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(wrong(CertificateError::BadSignature)),
    }
}

/// What such upstreams are spoken to with; `identity` is a certificate of one's own, with its chain, and its key, in PEM.
pub(crate) fn config(identity: Option<(Vec<u8>, Vec<u8>)>) -> Result<TlsClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)));
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(|why| why.to_string())?;
            let chain = chain.map_err(|why| why.to_string())?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|why| why.to_string())?
        }
    };
    Ok(TlsClientConfig::from_rustls(config))
}
