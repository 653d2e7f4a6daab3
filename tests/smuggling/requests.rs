//! Requests that no upstream hears of.

use switchover::gateway::{GatewayConfig, Outcome};
use switchover::handshake::{HandshakePolicy, Rejection};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};

use crate::PIPELINED;
use crate::running_gateway::{RunningGateway, refused};

/// Tokens that are not allowed are an ordinary request's: nothing goes upstream at all.
#[tokio::test]
async fn a_request_pipelined_behind_an_upgrade_to_something_else() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut gateway = RunningGateway::to(&origin).await;
    for protocol in [
        "foo",
        "TLS/1.0",
        "HTTP/2.0",
        "h2c",
        "H2C",
        "h2c, foo",
        "websocket/13",
        "xwebsocket",
    ] {
        let request = UPGRADE_REQUEST.replacen("websocket", protocol, 1);
        let client = gateway.client_sending(format!("{request}{PIPELINED}")).await;
        assert!(
            matches!(gateway.served().await, Ok(Outcome::Ordinary(..))),
            "{protocol}"
        );
        drop(client);
    }
    assert_eq!(origin.connections(), 0);
}

/// Handshakes that an origin might answer with 426 or worse, and a proxy must not hand on (websocket-smuggle).
#[tokio::test]
async fn handshakes_that_no_origin_hears_of() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gateway = RunningGateway::to(&origin).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let cases: &[(&str, &str, u16)] = &[
        ("GET", "POST", 405),
        ("GET", "HEAD", 405),
        ("GET /chat", "CONNECT chat:80", 501),
        (version, "Sec-WebSocket-Version: 12\r\n", 426),
        (version, "Sec-WebSocket-Version: 1337\r\n", 426),
        (version, "", 400),
        (
            version,
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n",
            400,
        ),
        (key, "", 400),
        (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n", 400),
        ("Host: example.com\r\n", "", 400),
        ("Host: example.com\r\n", "Host: a\r\nHost: b\r\n", 400),
        ("Host: example.com", "Host: a b", 400),
        ("Upgrade: websocket", "Upgrade: websocket, (x)", 400),
        ("HTTP/1.1", "HTTP/2.0", 505),
        (
            version,
            "Sec-WebSocket-Version: 13\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            400,
        ),
        (
            version,
            "Sec-WebSocket-Version: 13\r\nTransfer-Encoding: chunked, chunked\r\n",
            400,
        ),
        (
            version,
            "Sec-WebSocket-Version: 13\r\nTransfer-Encoding: gzip, chunked\r\n",
            501,
        ),
        (
            version,
            "Sec-WebSocket-Version: 13\r\nTransfer-Encoding : chunked\r\n",
            400,
        ),
        (version, "Sec-WebSocket-Version: 13\r\nContent-Length: 1\r\n", 400),
        (version, "Sec-WebSocket-Version: 13\r\n folded: yes\r\n", 400),
        (version, "Sec-WebSocket-Version: 13\r\nX: a\rb\r\n", 400),
        (version, "Sec-WebSocket-Version: 13\nX: y\r\n", 400),
        (version, "Sec-WebSocket-Version: 13\r\nX: \0\r\n", 400),
    ];
    for (part, by, status) in cases {
        let request = UPGRADE_REQUEST.replacen(part, by, 1);
        assert_ne!(request, UPGRADE_REQUEST, "{part:?}");
        let mut client = gateway.client_sending(format!("{request}{PIPELINED}")).await;
        match *part {
            "GET" if *by == "HEAD" => {
                assert_eq!(client.head().await.status, *status);
                client.ends().await;
            }
            _ => drop(refused(&mut client, *status).await),
        }
    }
    assert_eq!(origin.connections(), 0);
}

/// Kubernetes, nginx: `upgrade` found inside another word. Such a handshake is an ordinary request, or refused where the
/// policy says so.
#[tokio::test]
async fn connection_options_that_only_look_like_upgrade() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let strict = HandshakePolicy::default().refuse_incomplete_handshakes(true);
    let mut strict = RunningGateway::with(GatewayConfig::default().policy(strict), &origin).await;
    let mut lenient = RunningGateway::to(&origin).await;
    for options in [
        "no-upgrade",
        "Upgrade-Insecure-Requests",
        "xupgrade",
        "upgraded",
        "keep-alive",
        "\"upgrade\"",
        "",
    ] {
        let request = UPGRADE_REQUEST.replacen("Connection: Upgrade", &format!("Connection: {options}"), 1);
        let mut client = strict.client_sending(&request).await;
        refused(&mut client, 426).await;
        drop(client);
        let served = strict.served().await;
        let refused = matches!(served, Ok(Outcome::Rejected(Rejection::ConnectionOptionMissing)));
        assert!(refused, "{options:?}: {served:?}");

        let client = lenient.client_sending(request).await;
        let served = lenient.served().await;
        assert!(
            matches!(served, Ok(Outcome::Ordinary(..))),
            "{options:?}: {served:?}"
        );
        drop(client);
    }
    assert_eq!(origin.connections(), 0);
}
