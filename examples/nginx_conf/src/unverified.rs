//! `proxy_ssl_verify off`: TLS with any server that answers. What an upstream says is hidden from a listener, not from an attacker in between.

use std::sync::Arc;

use switchover::tls::TlsClientConfig;
use switchover::tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use switchover::tls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use switchover::tls::rustls::pki_types::pem::PemObject;
use switchover::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use switchover::tls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

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
        verify_tls12_signature(
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
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
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
