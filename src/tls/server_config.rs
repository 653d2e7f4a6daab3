//! Which certificate the proxy shows to clients, and whether clients have to show one.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::config_error::pem_names::ROOTS;
use super::pem::{self, Identity};
use super::tickets::Tickets;
use super::{HTTP_1_1, HTTP_2, TlsConfigError, certified_key, provider};

/// How the proxy speaks TLS to clients. Cheap to clone.
///
/// ```
/// use switchover::tls::TlsServerConfig;
///
/// # fn doc(chain: Vec<u8>, key: Vec<u8>, ca: Vec<u8>) -> Result<(), switchover::tls::TlsConfigError> {
/// let everyone = TlsServerConfig::from_pem(chain.clone(), key.clone())?;
/// // Only clients with a certificate that this authority has issued.
/// let members = TlsServerConfig::builder(chain, key).client_roots(ca).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsServerConfig(Arc<ServerConfig>);

impl TlsServerConfig {
    /// With a certificate chain, the proxy's own certificate first, and the private key. Clients need no certificate.
    ///
    /// The certificate may be of version 1, as `openssl x509 -req` makes it without extensions.
    ///
    /// # Errors
    ///
    /// The chain or the key is not what it should be, or they do not belong together.
    pub fn from_pem(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Result<Self, TlsConfigError> {
        Self::builder(chain, key).build()
    }

    /// Starts with a certificate chain, the proxy's own certificate first, and the private key.
    pub fn builder(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> TlsServerBuilder {
        TlsServerBuilder {
            identity: Identity {
                chain: chain.into(),
                key: key.into(),
            },
            client_roots: Vec::new(),
            provider: None,
        }
    }

    /// A configuration of the caller's own, with everything that it says but the ALPN protocols and `max_early_data_size`: for
    /// certificates that are chosen by the client's SNI, for example, which [`certified_key`](super::certified_key()) reads.
    ///
    /// How sessions resume is what it says, too. rustls' own default is the last 256 sessions, which is few:
    /// [`session_tickets`](Self::session_tickets) makes it as many as there are.
    pub fn from_rustls(config: impl Into<Arc<ServerConfig>>) -> Self {
        TlsServerConfig(config.into()).offering(&[HTTP_1_1])
    }

    /// Offers HTTP/2 by ALPN, in front of HTTP/1.1. Default: only HTTP/1.1.
    ///
    /// Which of them a client has agreed to is then the caller's to look at, before it hands the stream on:
    /// `stream.get_ref().1.alpn_protocol()`.
    #[must_use]
    pub fn http2(self) -> Self {
        self.offering(&[HTTP_2, HTTP_1_1])
    }

    /// Lets clients resume their sessions by [tickets](super#sessions-that-resume), with keys that are made here and shared by all
    /// clones. Default for [`from_pem`](Self::from_pem) and [`builder`](Self::builder); of a configuration of the caller's own it
    /// replaces the `ticketer`.
    ///
    /// No effect where the provider has no cipher of TLS 1.3 with keys of 256 bits.
    #[must_use]
    pub fn session_tickets(mut self) -> Self {
        if let Some(tickets) = Tickets::new(self.0.crypto_provider(), Instant::now()) {
            Arc::make_mut(&mut self.0).ticketer = tickets;
        }
        self
    }

    /// Makes each handshake a full one: no tickets, and no session kept in memory. Default: clients
    /// [resume](super#sessions-that-resume).
    ///
    /// For servers that still have clients of TLS 1.2 and whose memory an attacker may come to read. A full handshake costs a
    /// signature, about three times the processor time of a resumed one.
    #[must_use]
    pub fn without_resumption(mut self) -> Self {
        let config = Arc::make_mut(&mut self.0);
        config.ticketer = Arc::new(NoTickets);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        self
    }

    fn offering(mut self, protocols: &[&[u8]]) -> Self {
        let config = Arc::make_mut(&mut self.0);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        // Early data can be sent again by whoever has recorded it (RFC 8446, section 8).
        config.max_early_data_size = 0;
        self
    }

    pub(super) fn rustls(&self) -> Arc<ServerConfig> {
        self.0.clone()
    }
}

impl fmt::Debug for TlsServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServerConfig").finish_non_exhaustive()
    }
}

/// Builds a [`TlsServerConfig`].
#[derive(Clone)]
#[must_use = "nothing is configured until it is built"]
pub struct TlsServerBuilder {
    identity: Identity,
    client_roots: Vec<Vec<u8>>,
    provider: Option<Arc<CryptoProvider>>,
}

impl TlsServerBuilder {
    /// Demands a certificate of every client, issued by one of these. Called again, adds to them. Default: none is
    /// asked for.
    ///
    /// Who the client is stays with the stream: `stream.get_ref().1.peer_certificates()`. Nothing of it goes upstream.
    pub fn client_roots(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.client_roots.push(pem.into());
        self
    }

    /// What computes. Default: the default of the process, else that of the feature `ring`, else that of `aws-lc-rs`.
    pub fn crypto_provider(mut self, provider: impl Into<Arc<CryptoProvider>>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// The configuration.
    ///
    /// # Errors
    ///
    /// Something given is not what it should be, or there is [no provider](TlsConfigError::NoProvider).
    pub fn build(self) -> Result<TlsServerConfig, TlsConfigError> {
        let provider = provider::chosen(self.provider)?;
        let certified = certified_key::of_identity(&self.identity, &provider)?;
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = if self.client_roots.is_empty() {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for pem in &self.client_roots {
                pem::add_roots(&mut roots, pem)?;
            }
            // There are roots: the only thing that it could miss.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|_| TlsConfigError::Missing { what: ROOTS })?;
            builder.with_client_cert_verifier(verifier)
        };
        let config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        Ok(TlsServerConfig::from_rustls(config).session_tickets())
    }
}

/// Seals nothing.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

impl fmt::Debug for TlsServerBuilder {
    /// Without the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServerBuilder")
            .field("client_roots", &self.client_roots.len())
            .finish_non_exhaustive()
    }
}
