//! Upgrade-aware proxying: carries an HTTP connection across a protocol switch (`Upgrade`, `101 Switching Protocols`,
//! WebSocket above all) without losing a byte, and without opening a tunnel that both sides have not agreed to.
//!
//! # The walk
//!
//! ```text
//! (1) bytes in -> (2) request head -> (3) handshake check -> (4) forward -> (5) connect -> (6) request, response head
//!                                                                                           -> (7) verdict -> (8) tunnel
//! ```
//!
//! 1. A client's bytes arrive. They are read into one buffer until a request head is whole.
//! 2. [`http1`] parses it, strictly: bytes that can be read in two ways are refused.
//! 3. [`handshake::UpgradeRequest::parse`] decides: an upgrade that the policy allows, an ordinary request, or a
//!    [`handshake::Rejection`] that says which rule was broken and what to change.
//! 4. [`handshake::UpgradeRequest::forward`] makes the request for the upstream: it removes hop-by-hop fields, then it adds the
//!    proxy's own.
//! 5. [`connect::Connect`] makes the connection: to one upstream, or to one of a [group](upstream::Group).
//! 6. The head goes up in one write; the heads of the answer come back, interim ones passed on.
//! 7. [`handshake::PendingUpgrade::judge`] judges the answer, and nothing else makes a [`handshake::Switched`]: status,
//!    `Upgrade`, `Connection` and, for WebSocket, the exact `Sec-WebSocket-Accept` all agree with what was asked.
//! 8. [`tunnel`] carries the bytes, first those that came early.
//!
//! Each step takes the value that the step before has returned, so a wrong order does not compile. A client byte that arrives
//! between (2) and (7) waits. After a switch it is tunnel data; otherwise it is dropped, and the connection closes (RFC 9931).
//!
//! **Downstream** is the side that connected to us, **upstream** the side that we connect to. Downstream is always the
//! first argument.
//!
//! # The floors
//!
//! | floor | modules | for |
//! |---|---|---|
//! | 1, bytes | [`token`], [`proxy_protocol`], [`http1`], [`websocket`] | parsers and proxies of your own, without tokio |
//! | 2, header rules | [`header`] | a proxy that you have |
//! | 3, decisions | [`handshake`], [`route`], [`diagnose`] | proxies with their own IO, and programs that find out why an upgrade fails |
//! | 4, streams | [`tunnel`], [`connect`], [`tls`], [`upstream`], [`http2`] | relays on layer 4, and connectors for either door |
//! | 5, doors | [`gateway`], [`service`] | the whole walk |
//!
//! A module imports only modules above its own row, or before it in the row. Floors 1 to 3 know no tokio:
//! `default-features = false` has none in the tree. With the feature `gateway`, [`proxy_protocol`] also has an acceptor and a
//! connector, which belong to floor 4. Beside the floors stand `test_util`, the error of the doors
//! ([`Error`]) and the words for the two sides ([`Side`]).
//!
//! # In scope, out of scope
//!
//! In scope is everything between a client that asks for another protocol and an origin that speaks it. Out of scope:
//! caching, compression, rewriting bodies, forward proxying (CONNECT), speaking WebSocket as an end. Ordinary
//! requests beside the upgrades are relayed, under the same header rules.
//!
//! The library installs no global, logs nothing unless a feature says so, and holds no state outside the values that it hands
//! out. What a log of yours needs of a request is in a [`connect::Trace`].
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `tunnel` | by `gateway` | [`tunnel`]: the copy engine |
//! | `gateway` | yes | [`gateway`], [`connect`], [`upstream`]: the raw door on tokio, groups of servers, the PROXY protocol |
//! | `splice` | yes | bulk between plain sockets without a copy, on Linux |
//! | `hyper` | no | [`service`]: services and a layer for axum and hyper, for clients of HTTP/1; ordinary requests relayed by hyper and hyper-util |
//! | `axum` | no | with `hyper`: the address of the peer is found in the `ConnectInfo` of axum 0.8 |
//! | `http2` | no | WebSocket over HTTP/2 (RFC 8441): clients of [`service`] that ask for it, upstreams, and a server with deadlines, [`http2`]. With `hyper` |
//! | `ring`, `aws-lc-rs` | no | [`tls`]: TLS towards clients and upstreams, by rustls with this [provider of cryptography](tls#the-provider-of-cryptography) |
//! | `rustls` | by both | [`tls`] alone, with a provider of the application's own |
//! | `metrics` | no | counters, gauges and histograms through the crate `metrics`: the [table](manual::operators) |
//! | `deflate` | no | compressed messages are read by a [tap](tunnel::MessageTap) |
//! | `test-util` | no | `test_util`: streams with faults, a scripted client and origin, for tests of one's own |
//! | `tracing` | no | spans of upgrades, requests and tunnels, and events, through the crate `tracing`: the [table](manual::operators#spans-and-events) |
//! | `full` | no | all of them, but `aws-lc-rs` |
//!
//! Features only add; none changes what another does.
//!
//! The [`manual`] has what does not belong to one module.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
#![deny(missing_docs)]
// What the guidelines for public items ask for, so far as a lint can hold it.
#![warn(
    missing_debug_implementations,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use
)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "full"), allow(rustdoc::broken_intra_doc_links))]

#[cfg(feature = "tunnel")]
mod clock;
#[cfg(feature = "gateway")]
pub mod connect;
pub mod diagnose;
#[cfg(feature = "gateway")]
mod error;
#[cfg(feature = "gateway")]
mod exchange;
#[cfg(feature = "gateway")]
pub mod gateway;
pub mod handshake;
pub mod header;
pub mod http1;
#[cfg(feature = "http2")]
pub mod http2;
#[cfg(any(doc, doctest))]
pub mod manual;
pub mod proxy_protocol;
pub mod route;
#[cfg(feature = "hyper")]
pub mod service;
mod side;
#[cfg(feature = "tunnel")]
mod telemetry;
#[cfg(feature = "test-util")]
pub mod test_util;
#[cfg(feature = "rustls")]
pub mod tls;
pub mod token;
#[cfg(feature = "tunnel")]
pub mod tunnel;
#[cfg(feature = "gateway")]
pub mod upstream;
pub mod websocket;
#[cfg(feature = "gateway")]
mod wire;

// What most programs name first; everything else, and these too, in its module.
#[cfg(feature = "gateway")]
pub use connect::{Connect, TcpConnect};
#[cfg(feature = "gateway")]
pub use error::{Cause, Error, Phase};
#[cfg(feature = "gateway")]
pub use exchange::UpgradeConfig;
#[cfg(feature = "gateway")]
pub use gateway::{Gateway, Outcome};
pub use handshake::{HandshakePolicy, UpgradeRequest};
pub use header::{ConnectionMap, Protocol};
pub use side::Side;
#[cfg(feature = "metrics")]
pub use telemetry::describe_metrics;
#[cfg(feature = "tunnel")]
pub use tunnel::{Tunnel, TunnelConfig};

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;
