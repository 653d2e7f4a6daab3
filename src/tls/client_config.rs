//! Which certificates the proxy believes when it connects, and which certificate it shows.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::own_root::OwnRootVerifier;
use super::pem::{self, Identity};
use super::{TlsConfigError, certified_key, provider};

/// How the proxy speaks TLS to upstreams. Cheap to clone.
///
/// ```
/// use switchover::tls::TlsClientConfig;
///
/// # fn doc(ca: Vec<u8>) -> Result<TlsClientConfig, switchover::tls::TlsConfigError> {
/// // Only what this authority of one's own has issued is believed.
/// let tls = TlsClientConfig::builder().only_roots(ca).build()?;
/// # Ok(tls)
/// # }
/// ```
#[derive(Clone)]
pub struct TlsClientConfig(Arc<ClientConfig>);

impl TlsClientConfig {
    /// With the system's root certificates, and no certificate of the proxy's own.
    ///
    /// Reads files: call it once, when the program starts. `SSL_CERT_FILE` and `SSL_CERT_DIR` in the environment replace
    /// the system's.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError::NoSystemRoots`], [`TlsConfigError::NoProvider`].
    pub fn system() -> Result<Self, TlsConfigError> {
        Self::builder().build()
    }

    /// Starts with the system's root certificates, for something to be changed.
    pub fn builder() -> TlsClientBuilder {
        TlsClientBuilder {
            system_roots: true,
            roots: Vec::new(),
            identity: None,
            provider: None,
            max_intermediates: None,
        }
    }

    /// A configuration of the caller's own, with everything that it says but the ALPN protocols and `enable_early_data`.
    pub fn from_rustls(config: impl Into<Arc<ClientConfig>>) -> Self {
        TlsClientConfig(config.into())
    }

    /// For connections on which this protocol is asked for. Their sessions resume each other's.
    pub(super) fn asking(&self, protocol: &[u8]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.0);
        config.alpn_protocols = vec![protocol.to_vec()];
        // Early data can be sent again by whoever has recorded it (RFC 8446, section 8).
        config.enable_early_data = false;
        Arc::new(config)
    }
}

impl fmt::Debug for TlsClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClientConfig").finish_non_exhaustive()
    }
}

/// Builds a [`TlsClientConfig`].
#[derive(Clone)]
#[must_use = "nothing is configured until it is built"]
pub struct TlsClientBuilder {
    system_roots: bool,
    roots: Vec<Vec<u8>>,
    identity: Option<Identity>,
    provider: Option<Arc<CryptoProvider>>,
    max_intermediates: Option<usize>,
}

impl TlsClientBuilder {
    /// Believes only what these root certificates have issued, and what those [added](Self::add_roots) have. Default:
    /// the system's roots.
    ///
    /// A server's own certificate can stand here if it has signed itself and is of version 3. One of version 1 has no names
    /// that could be verified; make one with `openssl req -x509 -addext subjectAltName=DNS:NAME`.
    pub fn only_roots(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.system_roots = false;
        self.add_roots(pem)
    }

    /// Believes these root certificates too. Default: none.
    pub fn add_roots(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// Names the proxy to upstreams that ask for a certificate: its chain, its own certificate first, and the private key.
    /// Default: none.
    pub fn client_certificate(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some(Identity {
            chain: chain.into(),
            key: key.into(),
        });
        self
    }

    /// How many certificates may stand between a server's own and the root that is believed. Default: as many as rustls looks
    /// at, which are six.
    pub fn max_intermediates(mut self, most: impl Into<Option<usize>>) -> Self {
        self.max_intermediates = most.into();
        self
    }

    /// What computes. Default: the default of the process, else that of the feature `ring`, else that of `aws-lc-rs`.
    pub fn crypto_provider(mut self, provider: impl Into<Arc<CryptoProvider>>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// The configuration. Reads the system's root certificates, unless others were named.
    ///
    /// # Errors
    ///
    /// Something given is not what it should be, the system has no root certificates, or there is
    /// [no provider](TlsConfigError::NoProvider).
    pub fn build(self) -> Result<TlsClientConfig, TlsConfigError> {
        let provider = provider::chosen(self.provider)?;
        let mut roots = RootCertStore::empty();
        if self.system_roots {
            add_system_roots(&mut roots)?;
        }
        let mut named = Vec::new();
        for pem in &self.roots {
            named.extend(pem::add_roots(&mut roots, pem)?);
        }
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match named.is_empty() && self.max_intermediates.is_none() {
            true => builder.with_root_certificates(roots),
            false => {
                let verifier = OwnRootVerifier::new(roots, named, self.max_intermediates, provider.clone())?;
                // As strict as the default one, but for what its file says.
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certified = certified_key::of_identity(identity, &provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        Ok(TlsClientConfig(Arc::new(config)))
    }
}

impl fmt::Debug for TlsClientBuilder {
    /// Without the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClientBuilder")
            .field("system_roots", &self.system_roots)
            .field("roots", &self.roots.len())
            .field("client_certificate", &self.identity.is_some())
            .finish()
    }
}

/// A certificate among them that is unusable is none of ours; only that not one is usable is an error.
fn add_system_roots(roots: &mut RootCertStore) -> Result<(), TlsConfigError> {
    let found = rustls_native_certs::load_native_certs();
    let (usable, unusable) = roots.add_parsable_certificates(found.certs);
    if usable > 0 {
        return Ok(());
    }
    let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    Err(TlsConfigError::NoSystemRoots {
        found: match (unusable, errors.is_empty()) {
            (0, true) => "none was found".to_owned(),
            (0, false) => errors.join("; "),
            (unusable, _) => format!("{unusable} that cannot be used"),
        },
    })
}
