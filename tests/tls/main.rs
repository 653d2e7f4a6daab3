//! TLS on either side of the gateway. The peers speak it by rustls itself, with certificates made for each test.

#[path = "../certificates/mod.rs"]
mod certificates;
mod clients;
#[cfg(target_os = "linux")]
mod descriptors;
mod endings;
#[cfg(unix)]
mod example_gateway;
mod front;
#[cfg(unix)]
mod gateway_http2;
mod http2;
mod mounted;
mod peer;
#[cfg(unix)]
mod program;
mod relayed;
mod upstream_failures;
mod walks;
