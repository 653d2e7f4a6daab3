//! PEM bytes become certificates and keys, or a clear error about what is wrong with them.
//!
//! It must not know files: where the bytes come from is the caller's business.

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsConfigError;
use super::config_error::pem_names::{CHAIN, KEY, ROOTS};

/// A certificate chain with its key, as PEM.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) chain: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl Identity {
    /// The certificates, the one of the key first, and the key.
    pub(super) fn parse(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsConfigError> {
        Ok((certificates(&self.chain, CHAIN)?, private_key(&self.key)?))
    }
}

/// Adds root certificates to those that there are, and returns them.
pub(super) fn add_roots(
    roots: &mut RootCertStore,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let added = certificates(pem, ROOTS)?;
    for certificate in &added {
        roots
            .add(certificate.clone())
            .map_err(|error| TlsConfigError::Unusable { what: ROOTS, error })?;
    }
    Ok(added)
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsConfigError::Missing { what }),
        Ok(found) => Ok(found),
        Err(error) => Err(TlsConfigError::Pem { what, error }),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsConfigError::Missing { what: KEY },
        error => TlsConfigError::Pem { what: KEY, error },
    })
}
