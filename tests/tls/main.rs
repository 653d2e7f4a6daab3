//! TLS on either side of the gateway. The peers speak it by rustls itself, with certificates made for each test.

mod clients;
mod endings;
mod front;
mod http2;
mod mounted;
mod relayed;
mod resumption;
mod streams;
mod upstream_failures;
mod walks;

use support::{certificates, tls_peer as peer};
