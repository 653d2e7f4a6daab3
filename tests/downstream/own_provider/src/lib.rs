//! One provider of cryptography in the whole program, chosen by the program.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use switchover::tls::{TlsClientConfig, TlsConfigError, TlsServerConfig};

/// Code that knows nothing of a proxy. It panics in a program where rustls has two providers and no default.
pub fn client_of_the_program(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The proxy's client and server, by the same provider.
pub fn proxy(
    roots: &[u8],
    chain: &[u8],
    key: &[u8],
) -> Result<(TlsClientConfig, TlsServerConfig), TlsConfigError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let client = TlsClientConfig::builder()
        .only_roots(roots)
        .crypto_provider(provider.clone());
    let server = TlsServerConfig::builder(chain, key).crypto_provider(provider);
    Ok((client.build()?, server.build()?))
}
