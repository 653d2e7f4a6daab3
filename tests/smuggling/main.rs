//! Bugs that shipped in other proxies, each with what the upstream must have seen, to the byte.

mod answers;
mod fields;
mod requests;
use support::running_gateway;

use switchover::gateway::GatewayConfig;
use switchover::handshake::HandshakePolicy;
use switchover::test_util::UPGRADE_REQUEST;

const PIPELINED: &str = "GET /internal HTTP/1.1\r\nHost: internal\r\n\r\n";

/// The good request with more field lines before its `Host`.
fn request_with(lines: &str) -> String {
    UPGRADE_REQUEST.replacen("Host", &format!("{lines}Host"), 1)
}

/// A policy under which two protocols besides WebSocket may go upstream.
fn permissive() -> GatewayConfig {
    let policy = HandshakePolicy::default()
        .allow("echo/2".parse().unwrap())
        .allow("irc".parse().unwrap());
    GatewayConfig::default().policy(policy)
}
