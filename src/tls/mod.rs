//! Floor 4: TLS on either side, by rustls. Feature `rustls`, and mostly `ring` or `aws-lc-rs`, each of which enables it.
//!
//! Knows streams and names. Of HTTP it knows the names that ALPN has for it, and how to distinguish it from TLS.
//!
//! Towards the upstream, [`TlsConnect`] is one more [`Connect`](crate::connect::Connect): it makes a connection with the
//! connector that it was given and speaks TLS on it. Certificates are verified against the system's roots unless other
//! roots are given.
//!
//! ```no_run
//! use switchover::gateway::Gateway;
//! use switchover::tls::{TlsClientConfig, TlsConnect};
//!
//! # fn main() -> Result<(), switchover::tls::TlsConfigError> {
//! let tls = TlsClientConfig::system()?;
//! let gateway = Gateway::builder(TlsConnect::to("chat.example:443", tls)?).build();
//! # Ok(())
//! # }
//! ```
//!
//! Towards the client, [`TlsAcceptor`] does the handshake, within a deadline. The stream that it gives goes to any door
//! of the crate; [`Hop::tls`](crate::header::Hop::tls) reports it to the origin.
//!
//! ```no_run
//! use switchover::gateway::next_connection;
//! use switchover::header::Hop;
//! use switchover::tls::{TlsAcceptor, TlsServerConfig};
//! use switchover::{Gateway, TcpConnect};
//!
//! # async fn run(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
//! let (chain, key) = (std::fs::read("chain.pem")?, std::fs::read("key.pem")?);
//! let acceptor = TlsAcceptor::new(TlsServerConfig::from_pem(chain, key)?);
//! let gateway = Gateway::builder(TcpConnect::to("127.0.0.1:9000")).build();
//! loop {
//!     let (stream, peer) = next_connection(&listener).await;
//!     let (acceptor, gateway) = (acceptor.clone(), gateway.clone());
//!     // In a task of its own: a client that dawdles over its handshake holds up no other.
//!     tokio::spawn(async move {
//!         match acceptor.accept(stream).await {
//!             Ok(stream) => drop(gateway.serve(stream, Hop::from(peer).tls(true)).await),
//!             Err(error) => eprintln!("{peer}: {error}"),
//!         }
//!     });
//! }
//! # }
//! ```
//!
//! In an axum application it stands within a listener: `examples/http2_websocket.rs` has one.
//!
//! # The provider of cryptography
//!
//! rustls computes nothing by itself. Each configuration made here takes the first of these:
//!
//! 1. the provider that the builder was given: [`TlsClientBuilder::crypto_provider`], [`TlsServerBuilder::crypto_provider`];
//! 2. the default of the process, if the application has installed one
//!    ([`CryptoProvider::install_default`](rustls::crypto::CryptoProvider::install_default));
//! 3. the one of the feature `ring`, or else of the feature `aws-lc-rs`.
//!
//! The feature `rustls` alone enables no provider, so that an application with a provider of its own keeps it: a program
//! where rustls has two of them compiled in, and whose own code calls `ClientConfig::builder()` without a default of the
//! process, panics there. Where there is no provider at all, building a configuration is
//! [`TlsConfigError::NoProvider`]. For FIPS 140-3, install or name the provider of `rustls` with its feature `fips`.
//!
//! # Sessions that resume
//!
//! A client that comes again resumes its session with a ticket, which costs neither side a signature: of however many clients,
//! for the server keeps nothing of a session. It is all in the ticket, sealed with a key of the configuration's.
//!
//! - **A key seals tickets for 6 hours**, opens them for 6 hours more, and is then overwritten by the first handshake that finds it
//!   so. Keys are made by chance, in memory, and are never written to a file: after a restart, or with another configuration, the
//!   first handshake of each client is a full one. Clones of a configuration, and so all workers of a server, have the same keys.
//! - **Forward secrecy** (RFC 8446, section 2.2): with TLS 1.3 a resumed session agrees on fresh keys, and an attacker who takes the ticket
//!   keys from memory can read nothing that was sent. With TLS 1.2 such a thief can read what was recorded of the last 12 hours,
//!   the first connections included, from clients that take tickets; [`TlsServerConfig::without_resumption`] is the way out.
//! - **Early data is never accepted**: the data of RFC 8446, section 2.3, which anyone who records it can send again.
//! - **A client certificate stays with the session.** It is in the ticket, and is not verified again when the session resumes. Each
//!   resumption makes a new ticket: a client that comes back within 6 hours each time is verified once, even if its certificate
//!   expires meanwhile. [`TlsServerConfig::without_resumption`] verifies it in each handshake. A ticket is good only under the
//!   configuration that made it, so never with other `client_roots`.
//! - The provider computes tickets as well, with the first of its ciphers of TLS 1.3 that has keys of 256 bits. A provider without
//!   one has no tickets; then rustls keeps the last 256 sessions in memory.
//!
//! # What is always so
//!
//! - **ALPN is set here**, whatever a configuration of the caller's own says: an upgrade is HTTP/1.1, and a peer that
//!   agrees to `h2` could not understand it. `h2` is asked for or offered only where the caller says so:
//!   [`TlsConnect::http2`], [`TlsServerConfig::http2`].
//! - **An idle connection holds no buffer.** All of TLS is rustls', by its interface without buffers of its own.
//! - **No global is installed**, and none is needed: the provider of cryptography is named in each configuration.
//! - **A mistaken port is reported as such**: plain HTTP to a TLS port, TLS to a plain one, from either side.
//! - **A tunnel never splices TLS**, and passes the end of one direction on as `close_notify`, while the other goes on.

mod certified_key;
mod client;
mod client_config;
mod config_error;
mod failure;
mod own_root;
mod pem;
mod provider;
mod server;
mod server_config;
mod stream;
mod streams;
mod tickets;

pub use certified_key::certified_key;
pub use client::TlsConnect;
pub use client_config::{TlsClientBuilder, TlsClientConfig};
pub use config_error::TlsConfigError;
pub use failure::TlsFailure;
pub use server::{TlsAcceptError, TlsAcceptor};
pub use server_config::{TlsServerBuilder, TlsServerConfig};
pub use streams::{ClientStream, ServerStream};
/// The rustls that configurations of one's own are made with.
pub use tokio_rustls::rustls;

/// The names of the protocols (RFC 7301, section 6; RFC 9113, section 3.1).
const HTTP_1_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";
