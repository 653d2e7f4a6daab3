//! Two users of rustls in one program, each with a provider of its own. Neither installs a default of the process.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use switchover::tls::{TlsClientConfig, TlsConfigError, TlsServerConfig};

/// The program's own client. With two providers compiled in, rustls has to be given one.
pub fn client_of_the_program(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The proxy's client and server: by ring, the provider that the features name.
pub fn proxy(
    roots: &[u8],
    chain: &[u8],
    key: &[u8],
) -> Result<(TlsClientConfig, TlsServerConfig), TlsConfigError> {
    Ok((
        TlsClientConfig::builder().only_roots(roots).build()?,
        TlsServerConfig::from_pem(chain, key)?,
    ))
}
