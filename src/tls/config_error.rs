//! What is wrong with certificates, keys and names as configured. It is reported before the first connection.

use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem;

use crate::connect::AddressError;

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// The PEM does not parse.
    #[error("the {what} cannot be read as PEM: {error}")]
    Pem {
        /// What it was to be: `certificate chain`, `private key`, `root certificates`.
        what: &'static str,
        /// What the parser said.
        error: pem::Error,
    },
    /// The PEM holds nothing of the kind. A private key that is encrypted does not count.
    #[error("the PEM holds no {what}")]
    Missing {
        /// What it was to be.
        what: &'static str,
    },
    /// A root certificate, or one of the chain, that is none.
    #[error("the {what} cannot be used: {error}")]
    Unusable {
        /// What it was to be.
        what: &'static str,
        /// What rustls said.
        error: rustls::Error,
    },
    /// The private key belongs to another certificate.
    #[error("the private key is not the key of the first certificate in the chain")]
    KeyMismatch,
    /// The system has no root certificates, or none that can be read.
    #[error("the system has no root certificates ({found}); install them, or name roots of your own")]
    NoSystemRoots {
        /// What was found instead.
        found: String,
    },
    /// There is no provider of cryptography: none was named, the process has no default, and none is compiled in.
    #[error(
        "there is no provider of cryptography: enable switchover's feature `ring` or `aws-lc-rs`, name one with \
         crypto_provider, or install a default with CryptoProvider::install_default"
    )]
    NoProvider,
    /// No host and port.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Neither a host name nor an IP address.
    #[error("{name:?} is neither a host name nor an IP address")]
    Name {
        /// As given.
        name: String,
    },
    /// What rustls refuses for any other reason.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

impl TlsConfigError {
    /// What rustls says of a chain and its key.
    pub(super) fn of_identity(source: rustls::Error) -> Self {
        match source {
            rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch) => {
                TlsConfigError::KeyMismatch
            }
            rustls::Error::InvalidCertificate(_) => TlsConfigError::Unusable {
                what: pem_names::CHAIN,
                error: source,
            },
            other => TlsConfigError::Unusable {
                what: pem_names::KEY,
                error: other,
            },
        }
    }
}

/// What the PEM of a configuration is called.
pub(super) mod pem_names {
    pub(in crate::tls) const CHAIN: &str = "certificate chain";
    pub(in crate::tls) const KEY: &str = "private key";
    pub(in crate::tls) const ROOTS: &str = "root certificates";
}
