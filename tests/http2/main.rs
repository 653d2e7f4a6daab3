//! Gateways in front of HTTP/2 upstreams, as stories on loopback sockets: neither the client nor the gateway knows that
//! the tunnel is a stream of HTTP/2.

mod clients;
mod conformance;
mod connections;
mod dropped;
mod ends;
mod extremes;
mod flow;
mod frames;
mod handshake;
mod peers;
mod refusals;
use support::running_gateway;
mod service;
mod slow_peers;
mod surface;
mod taps;
mod upstream;
