//! Each setter of the handshake's policy, and of the configuration of upgrades, through each door: none is ignored by one of them.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use switchover::gateway::{Gateway, GatewayConfig, Outcome};
use switchover::handshake::HandshakePolicy;
use switchover::http1::HeadLimits;
use switchover::service::{ReverseProxy, ServiceConfig, UpgradeLayer, UpgradeService};
use switchover::test_util::UPGRADE_REQUEST;
use switchover::tunnel::{Cap, PeerCap, Schedule, Tunnels};
use switchover::{TcpConnect, UpgradeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::servers::{Mounted, Server};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The origin has got an upgrade, which it declines.
    Upgrade,
    /// It is no upgrade for the proxy.
    Ordinary,
    Refused(u16),
}

const DECLINED: u16 = 409;
const ORDINARY: u16 = 203;

#[derive(Clone, Copy, Debug)]
enum Door {
    Gateway,
    Service,
    Layer,
    ReverseProxy,
}

const DOORS: [Door; 4] = [Door::Gateway, Door::Service, Door::Layer, Door::ReverseProxy];

impl Door {
    /// The proxy in front of an origin.
    async fn mounted(self, origin: &str, upgrade: UpgradeConfig) -> Mounted {
        let to = TcpConnect::to(origin);
        let config = ServiceConfig::default().upgrade(upgrade.clone());
        match self {
            Door::Gateway => {
                let gateway = Gateway::builder(to).config(GatewayConfig::default().upgrade(upgrade));
                let gateway = gateway.build();
                Mounted::serving(move |stream| {
                    let gateway = gateway.clone();
                    async move {
                        let peer = stream.peer_addr().unwrap();
                        if let Ok(Outcome::Ordinary(_, stream)) = gateway.serve(stream, peer).await {
                            answer(stream.into_parts().0, ORDINARY).await;
                        }
                    }
                })
                .await
            }
            Door::Service => Mounted::on(Server::Axum, UpgradeService::new(to).config(config)).await,
            Door::Layer => {
                let ordinary = StatusCode::from_u16(ORDINARY).unwrap();
                let app = Router::new().fallback(any(move || async move { ordinary }));
                Mounted::router(app.layer(UpgradeLayer::new(to).config(config))).await
            }
            Door::ReverseProxy => Mounted::on(Server::Axum, ReverseProxy::new(to).config(config)).await,
        }
    }

    /// What a client's status says.
    fn seen(self, status: u16) -> Seen {
        match (status, self) {
            (DECLINED, _) => Seen::Upgrade,
            (ORDINARY, _) => Seen::Ordinary,
            // Where nothing but upgrades is served.
            (426, Door::Service) => Seen::Ordinary,
            (status, _) => Seen::Refused(status),
        }
    }
}

async fn answer(mut stream: TcpStream, status: u16) {
    let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// An origin that declines upgrades and answers everything else, each with a status of its own; and `/silent` not at all.
async fn origin() -> (String, JoinSet<Infallible>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap() == 0 {
                        return;
                    }
                }
                let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
                match head.contains("\r\nupgrade:") {
                    _ if head.starts_with("get /silent") => pending().await,
                    true => answer(stream, DECLINED).await,
                    false => answer(stream, ORDINARY).await,
                }
            });
        }
    });
    (address, serving)
}

/// What becomes of a request through each door.
async fn through_each_door(name: &str, upgrade: &UpgradeConfig, request: &str, expected: Seen) {
    let (origin, _serving) = origin().await;
    for door in DOORS {
        let proxy = door.mounted(&origin, upgrade.clone()).await;
        let (head, _) = proxy.client_sending(request).await.response().await;
        let seen = door.seen(head.status.as_u16());
        let expected = match (door, expected) {
            (Door::Service, Seen::Refused(426)) => Seen::Ordinary,
            _ => expected,
        };
        assert_eq!(seen, expected, "{name} through {door:?}: {request}");
    }
}

fn with(fields: &str) -> String {
    UPGRADE_REQUEST.replace("\r\n\r\n", &format!("\r\n{fields}\r\n\r\n"))
}

/// The setters of a type, as its source has them.
fn setters(source: &str) -> Vec<&str> {
    let names = source.lines().filter_map(|line| {
        let (name, rest) = line.trim_start().strip_prefix("pub fn ")?.split_once('(')?;
        (rest.starts_with("mut self") || rest.starts_with(") -> Self")).then_some(name)
    });
    names.collect()
}

#[tokio::test]
async fn each_setter_of_the_policy_holds_through_each_door() {
    let base = HandshakePolicy::default;
    let tcp = || "tcp".parse().unwrap();
    let origins = || base().allow_origin("https://a.example".parse().unwrap());
    let asking_for = |protocol: &str| UPGRADE_REQUEST.replace("Upgrade: websocket", protocol);
    let elsewhere = with("Origin: https://b.example");
    let with_body = with("Content-Length: 0").replace("Length: 0", "Length: 5") + "hello";
    // The setter, what becomes of the request without it, and with it.
    let table = [
        (
            "any_protocol",
            base(),
            HandshakePolicy::any_protocol(),
            asking_for("Upgrade: other"),
            Seen::Ordinary,
            Seen::Upgrade,
        ),
        (
            "allow",
            base(),
            base().allow(tcp()),
            asking_for("Upgrade: tcp"),
            Seen::Ordinary,
            Seen::Upgrade,
        ),
        (
            "allow_only",
            base(),
            base().allow_only([tcp()]),
            UPGRADE_REQUEST.to_owned(),
            Seen::Upgrade,
            Seen::Ordinary,
        ),
        (
            "allow_origin",
            base(),
            origins(),
            elsewhere.clone(),
            Seen::Upgrade,
            Seen::Refused(403),
        ),
        (
            "allow_origin_if",
            origins(),
            origins().allow_origin_if(|origin, _| origin == "https://b.example"),
            elsewhere,
            Seen::Refused(403),
            Seen::Upgrade,
        ),
        (
            "allow_missing_origin",
            origins(),
            origins().allow_missing_origin(true),
            UPGRADE_REQUEST.to_owned(),
            Seen::Refused(403),
            Seen::Upgrade,
        ),
        (
            "allow_subprotocol",
            base(),
            base().allow_subprotocol("chat"),
            with("Sec-WebSocket-Protocol: other"),
            Seen::Upgrade,
            Seen::Refused(400),
        ),
        (
            "require_subprotocol_tokens",
            base(),
            base().require_subprotocol_tokens(true),
            with("Sec-WebSocket-Protocol: a/b"),
            Seen::Upgrade,
            Seen::Refused(400),
        ),
        (
            "allow_request_body",
            base(),
            base().allow_request_body(true),
            with_body,
            Seen::Refused(400),
            Seen::Upgrade,
        ),
        (
            "refuse_incomplete_handshakes",
            base(),
            base().refuse_incomplete_handshakes(true),
            asking_for("X-Mine: 1"),
            Seen::Ordinary,
            Seen::Refused(426),
        ),
    ];
    let names: Vec<_> = table.iter().map(|row| row.0).collect();
    assert_eq!(names, setters(include_str!("../../src/handshake/policy.rs")));
    for (name, without, policy, request, before, after) in table {
        for (policy, expected) in [(without, before), (policy, after)] {
            let upgrade = UpgradeConfig::default().policy(policy);
            through_each_door(name, &upgrade, &request, expected).await;
        }
    }
}

/// Those of the settings that the status of an answer shows. The others show in a tunnel.
#[tokio::test]
async fn each_setting_of_an_upgrade_that_a_status_shows_holds_through_each_door() {
    let base = UpgradeConfig::default;
    let draining = Tunnels::new();
    draining.drain(Schedule::default());
    let short = Duration::from_millis(50);
    let silent = UPGRADE_REQUEST.replace("/chat", "/silent");
    let policy = HandshakePolicy::default().allow_request_body(true);
    let half_a_body = with("Content-Length: 9").replace("/chat", "/silent") + "half";
    let table = [
        (
            "policy",
            base().policy(HandshakePolicy::default().allow_only([])),
            UPGRADE_REQUEST,
            Seen::Ordinary,
        ),
        (
            "handshake_timeout",
            base().handshake_timeout(short),
            &silent,
            Seen::Refused(504),
        ),
        (
            "read_timeout",
            base().policy(policy).read_timeout(short),
            &half_a_body,
            Seen::Refused(408),
        ),
        (
            "response_limits",
            base().response_limits(HeadLimits::default().max_fields(1)),
            UPGRADE_REQUEST,
            Seen::Refused(502),
        ),
        (
            "cap",
            base().cap(Cap::new(0)),
            UPGRADE_REQUEST,
            Seen::Refused(503),
        ),
        (
            "peer_cap",
            base().peer_cap(PeerCap::new(0)),
            UPGRADE_REQUEST,
            Seen::Refused(429),
        ),
        (
            "tunnels",
            base().tunnels(draining),
            UPGRADE_REQUEST,
            Seen::Refused(503),
        ),
    ];
    for (name, upgrade, request, expected) in table {
        through_each_door(name, &upgrade, request, expected).await;
    }
}
