//! The values on the manual's page of defaults, as the configurations show them.
#![cfg(feature = "full")]

use std::fmt::Debug;

use switchover::Side;
use switchover::UpgradeConfig;
use switchover::gateway::GatewayConfig;
use switchover::handshake::HandshakePolicy;
use switchover::header::{Forwarding, Protocol, TrustedProxies};
use switchover::http2::{Http2Config, Http2ServerConfig};
use switchover::proxy_protocol::ProxyProtocolAcceptor;
use switchover::service::{RelayConfig, ServiceConfig};
use switchover::token::MAX_ELEMENTS;
use switchover::tunnel::{
    Decision, EndRequest, MessageHead, MessageLimits, MessageTap, Schedule, Tap, TunnelConfig,
    WebSocketConfig,
};
use switchover::upstream::{Balance, Retry, Server};

fn shows(config: impl Debug, values: &[&str]) {
    let text = format!("{config:?}");
    for value in values {
        assert!(text.contains(value), "no {value} in {text}");
    }
}

#[test]
fn deadlines_of_clients() {
    shows(
        GatewayConfig::default(),
        &[
            "header_timeout: 30s",
            "keep_alive_timeout: 75s",
            "send_timeout: 60s",
        ],
    );
    shows(
        Http2ServerConfig::default(),
        &[
            "header_timeout: 30s",
            "idle_timeout: 75s",
            "send_timeout: 60s",
            "close_timeout: 2s",
            "ping_interval: Some(30s)",
            "ping_timeout: 20s",
            "max_streams: 128",
            "extended_connect: true",
            "window: 65536",
            "send_buffer: 65536",
            "max_head_bytes: 65536",
            "max_head_fields: 128",
        ],
    );
    shows(
        ProxyProtocolAcceptor::new(TrustedProxies::default()),
        &["header_timeout: 10s"],
    );
}

#[test]
fn deadlines_of_upstreams_and_caps() {
    let upgrades = [
        "connect_timeout: 10s",
        "handshake_timeout: 60s",
        "read_timeout: 60s",
        "bytes: 65536",
        "fields: 128",
        "websocket: None",
        "cap: None",
        "peer_cap: None",
    ];
    shows(UpgradeConfig::default(), &upgrades);
    shows(GatewayConfig::default(), &upgrades);
    shows(ServiceConfig::default(), &upgrades);
    shows(
        RelayConfig::default(),
        &["connect: 10s", "read: 60s", "send: 60s", "allow_trace: false"],
    );
}

#[test]
fn deadlines_of_tunnels() {
    let tunnel = TunnelConfig::default();
    let seconds = |limit: Option<std::time::Duration>| limit.map(|limit| limit.as_secs());
    assert_eq!(seconds(tunnel.idle_limit()), Some(300));
    assert_eq!(seconds(tunnel.write_limit()), Some(60));
    assert_eq!(seconds(tunnel.half_close_limit()), Some(30));
    assert_eq!(seconds(tunnel.lifetime_limit()), None);
    let frames = WebSocketConfig::default();
    assert_eq!(frames.ping_after(), None);
    assert_eq!(frames.pong_limit().as_secs(), 10);
    assert_eq!(frames.close_limit(), None);
    for side in [Side::Downstream, Side::Upstream] {
        let close = EndRequest::default();
        assert_eq!(frames, frames.clone().abnormal_close(side, close));
    }
    assert_eq!(
        frames,
        frames.clone().limits(MessageLimits::default()),
        "no limits"
    );
    struct Nothing;
    impl MessageTap for Nothing {
        fn decide(&mut self, _: &MessageHead) -> Decision {
            Decision::Pass
        }
    }
    shows(
        Tap::new(Nothing),
        &[
            "compression: Strip",
            "decision_timeout: 10s",
            "max_inflated_bytes: 67108864",
        ],
    );
    let schedule = Schedule::default();
    assert_eq!(
        (schedule.grace_time().as_secs(), schedule.spread_time().as_secs()),
        (0, 0)
    );
}

#[test]
fn http2_upstreams() {
    shows(
        Http2Config::default(),
        &[
            "max_tunnels: 128",
            "window: 65536",
            "send_buffer: 65536",
            "idle_timeout: 60s",
            "ping_interval: Some(30s)",
            "ping_timeout: 20s",
        ],
    );
}

#[test]
fn groups() {
    assert_eq!(Balance::default(), Balance::RoundRobin);
    shows(
        Server::to("127.0.0.1:1"),
        &["max_fails: 1", "fail_timeout: 10s", "max_ejection: 120s"],
    );
    shows(
        Retry::default(),
        &[
            "time_limit: None",
            "errors: true",
            "timeouts: true",
            "invalid_heads: true",
        ],
    );
}

#[test]
fn what_is_let_through() {
    let policy = HandshakePolicy::default();
    assert_eq!(
        policy.protocols().iter().collect::<Vec<_>>(),
        [&Protocol::WEBSOCKET]
    );
    assert_eq!(MAX_ELEMENTS, 64);
    shows(
        Forwarding::default(),
        &["inbound: Replace", "via: Some(\"1.1 switchover\")"],
    );
}
