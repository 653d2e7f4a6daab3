//! What does not belong to one module: how the house is built, what it defends against, the defaults and the
//! departures from the RFCs, metrics and spans for operators, WebSocket over HTTP/2 and HTTP/3, decisions about messages, coming from nginx,
//! from `copy_bidirectional`, axum-reverse-proxy, Pingora and hyper, other ways by facts, recipes, running on many machines, why an
//! upgrade fails, how the crate is tested, a glossary.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("threats.md")]
pub mod threats {}

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("departures.md")]
pub mod departures {}

#[doc = include_str!("http2.md")]
pub mod http2 {}

#[doc = include_str!("messages.md")]
pub mod messages {}

#[doc = include_str!("from_nginx.md")]
pub mod from_nginx {}

#[doc = include_str!("from_copy_bidirectional.md")]
pub mod from_copy_bidirectional {}

#[doc = include_str!("from_axum_reverse_proxy.md")]
pub mod from_axum_reverse_proxy {}

#[doc = include_str!("from_pingora_or_hyper.md")]
pub mod from_pingora_or_hyper {}

#[doc = include_str!("compare.md")]
pub mod compare {}

#[doc = include_str!("recipes.md")]
pub mod recipes {}

#[doc = include_str!("deployment.md")]
///
/// ```yaml
#[doc = include_str!("kubernetes.yaml")]
/// ```
///
#[doc = include_str!("deployment_notes.md")]
pub mod deployment {}

#[doc = include_str!("operators.md")]
pub mod operators {}

#[doc = include_str!("diagnose.md")]
pub mod diagnose {}

#[doc = include_str!("performance.md")]
///
/// # The plot
///
#[doc = include_str!("versus.svg")]
pub mod performance {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("glossary.md")]
pub mod glossary {}

/// The short examples, whole.
///
/// A gateway of one's own, `examples/raw_gateway.rs`:
///
/// ```no_run
#[doc = include_str!("../../examples/raw_gateway.rs")]
/// ```
///
/// One that ends TLS, `examples/tls_gateway.rs`:
///
/// ```no_run
#[doc = include_str!("../../examples/tls_gateway.rs")]
/// ```
///
/// A gateway that ends well, `examples/graceful_drain.rs`:
///
/// ```no_run
#[doc = include_str!("../../examples/graceful_drain.rs")]
/// ```
///
/// WebSocket over HTTP/2 in an axum application, `examples/http2_websocket.rs`:
///
/// ```no_run
#[doc = include_str!("../../examples/http2_websocket.rs")]
/// ```
///
/// Only the rules, `examples/headers_only.rs`:
///
/// ```
#[doc = include_str!("../../examples/headers_only.rs")]
/// ```
///
/// Only the tunnel, `examples/tunnel_only.rs`:
///
/// ```no_run
#[doc = include_str!("../../examples/tunnel_only.rs")]
/// ```
///
/// The programs `gateway` (the whole house: routes, workers, drain, a demo), `nginx_conf` and `doctor` are packages of the
/// repository, below `examples/`.
pub mod examples {}
