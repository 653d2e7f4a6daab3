//! The gateway with its flags for TLS, over HTTP/1.1 and HTTP/2.
#![cfg(unix)]

#[cfg(target_os = "linux")]
mod descriptors;
mod example_gateway;
mod gateway_http2;

use support::{certificates, tls_files as program, tls_peer as peer};
