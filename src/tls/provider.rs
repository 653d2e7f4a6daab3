//! Which provider of cryptography a configuration is made with. It is always named to rustls, which would panic where it had
//! to guess between two.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;

use super::TlsConfigError;

/// The one that the caller has named, else the default of the process, else the one that is compiled in.
pub(super) fn chosen(named: Option<Arc<CryptoProvider>>) -> Result<Arc<CryptoProvider>, TlsConfigError> {
    named
        .or_else(|| CryptoProvider::get_default().cloned())
        .or_else(compiled_in)
        .ok_or(TlsConfigError::NoProvider)
}

#[cfg(feature = "ring")]
fn compiled_in() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
}

#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
fn compiled_in() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(
        tokio_rustls::rustls::crypto::aws_lc_rs::default_provider(),
    ))
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
fn compiled_in() -> Option<Arc<CryptoProvider>> {
    None
}
