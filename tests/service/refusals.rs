//! Requests that the service answers by itself; no upstream hears of them, and the response says why, also as a value.

use http::{Request, Response};
use switchover::handshake::{HandshakePolicy, Rejection};
use switchover::header::{Hop, Protocol};
use switchover::service::{ProxyBody, ReverseProxy, ServiceConfig, UpgradeService};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tunnel::{Cap, PeerCap};
use switchover::{Error, Phase, TcpConnect, UpgradeConfig};
use tower::ServiceExt;

use crate::servers::{Mounted, SERVERS, Server};

/// Serves one request through no server at all.
async fn answered(service: UpgradeService<TcpConnect>, request: Request<String>) -> Response<ProxyBody> {
    service.oneshot(request).await.unwrap()
}

#[tokio::test]
async fn each_broken_rule_of_a_handshake_has_its_status() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let policy = HandshakePolicy::default().allow_origin("https://example.com".parse().unwrap());
    let upgrade = UpgradeConfig::default().policy(policy);
    let good = UPGRADE_REQUEST.replace("\r\n\r\n", "\r\nOrigin: https://example.com\r\n\r\n");
    let cases = [
        (good.replace("Version: 13", "Version: 12"), 426),
        (good.replace("GET", "POST"), 405),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), 400),
        (good.replace("Sec-WebSocket-Key", "Other"), 400),
        (
            good.replace("https://example.com", "https://elsewhere.example"),
            403,
        ),
        (good.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n"), 400),
        (good.replace("\r\n\r\n", "\r\nHost: other\r\n\r\n"), 400),
        (good.replace("Host: example.com\r\n", ""), 400),
        (good.replace("Host: example.com", "Host: a b"), 400),
        (good.replace("Host: example.com", "Host: ."), 400),
        (good.replace("Host: example.com", "Host: example.com.."), 400),
        (good.replace("/chat", "http://example.com../chat"), 400),
        (
            good.replace("\r\n\r\n", "\r\nReferer: a\r\nReferer: b\r\n\r\n"),
            400,
        ),
        (good.replace("/chat", "http://user@example.com/chat"), 400),
        // Not an upgrade at all.
        (good.replace("HTTP/1.1", "HTTP/1.0"), 426),
        (good.replace("Connection: Upgrade", "Connection: no-upgrade"), 426),
        (good.replace("Upgrade: websocket", "Upgrade: h2c"), 426),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 426),
    ];
    for server in SERVERS {
        let config = ServiceConfig::default().upgrade(upgrade.clone());
        let service = UpgradeService::new(TcpConnect::to(origin.address().to_string())).config(config);
        let mounted = Mounted::on(server, service).await;
        for (request, status) in &cases {
            let mut client = mounted.client_sending(request).await;
            let (head, body) = client.response().await;
            assert_eq!(head.status, *status, "{server:?}: {request}");
            if head.headers.contains_key("content-type") {
                let hint = String::from_utf8(body).unwrap();
                assert_eq!(hint.lines().count(), 2, "a reason and a hint: {hint}");
            }
            client.ends().await;
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_426_names_what_is_allowed() {
    let allowed = ["tcp", "foo/1"].map(|name| name.parse::<Protocol>().unwrap());
    let websocket = [Protocol::WEBSOCKET];
    let cases: [(&[Protocol], &str, bool); 3] = [
        (&allowed, "tcp, foo/1", false),
        (&allowed[..1], "tcp", false),
        (&websocket, "websocket", true),
    ];
    for (protocols, expected, has_version) in cases {
        let policy = HandshakePolicy::default().allow_only(protocols.iter().cloned());
        let config = ServiceConfig::default().upgrade(UpgradeConfig::default().policy(policy));
        for (version, fields) in [
            ("HTTP/1.1", ""),
            ("HTTP/1.1", "Connection: upgrade\r\nUpgrade: other\r\n"),
            ("HTTP/1.0", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
        ] {
            let service = UpgradeService::new(TcpConnect::to("127.0.0.1:1")).config(config.clone());
            let mounted = Mounted::on(Server::Axum, service).await;
            let request = format!("GET / {version}\r\nHost: a\r\n{fields}\r\n");
            let (head, _) = mounted.client_sending(&request).await.response().await;
            assert_eq!(head.status, 426, "{request}");
            assert_eq!(head.headers["upgrade"], expected, "{request}");
            assert_eq!(
                head.headers.contains_key("sec-websocket-version"),
                has_version,
                "{request}"
            );
        }
    }
}

#[tokio::test]
async fn a_426_names_the_protocol() {
    let mounted = Mounted::on(Server::Axum, UpgradeService::new(TcpConnect::to("127.0.0.1:1"))).await;
    let mut client = mounted.client_sending("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, body) = client.response().await;
    assert_eq!(
        (head.headers["upgrade"].as_bytes(), head.status.as_u16()),
        (&b"websocket"[..], 426)
    );
    assert_eq!(head.headers["connection"], "close, upgrade");
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains("proxy_http_version 1.1")
    );
}

#[tokio::test]
async fn beyond_a_cap_it_is_503_and_429() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let cap = Cap::new(2);
    let upgrade = UpgradeConfig::default()
        .cap(cap.clone())
        .peer_cap(PeerCap::new(1));
    let config = ServiceConfig::default().upgrade(upgrade).hop(|parts| {
        let address: std::net::IpAddr = parts.headers["x-test-peer"].to_str().unwrap().parse().unwrap();
        address.into()
    });
    let service = UpgradeService::new(TcpConnect::to(origin.address().to_string())).config(config);
    let mounted = Mounted::on(Server::Axum, service).await;
    let from =
        |peer: u8| UPGRADE_REQUEST.replace("\r\n\r\n", &format!("\r\nX-Test-Peer: 10.0.0.{peer}\r\n\r\n"));
    let mut one = mounted.client_sending(from(1)).await;
    assert_eq!(one.head().await.status, 101);
    assert_eq!(
        mounted.client_sending(from(1)).await.response().await.0.status,
        429
    );
    let mut two = mounted.client_sending(from(2)).await;
    assert_eq!(two.head().await.status, 101);
    assert_eq!(
        mounted.client_sending(from(3)).await.response().await.0.status,
        503
    );
    drop((one, two));
    cap.emptied().await;
    assert_eq!(mounted.client_sending(from(1)).await.head().await.status, 101);
}

#[tokio::test]
async fn the_reason_is_in_the_extensions() {
    let config = ServiceConfig::default().hop(|_| Hop::unknown());
    let service = UpgradeService::new(TcpConnect::to("127.0.0.1:1")).config(config.clone());
    let ordinary = Request::get("/").header("host", "a").body(String::new()).unwrap();
    let response = answered(service.clone(), ordinary).await;
    assert_eq!(response.extensions().get(), Some(&Rejection::UpgradeRequired));

    // No server is under this one.
    let upgrade = Request::get("/")
        .header("host", "a")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let response = answered(service, upgrade.body(String::new()).unwrap()).await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.extensions().get(), Some(&Rejection::NoUpgradeHere));

    let proxy = ReverseProxy::new(TcpConnect::to("127.0.0.1:1")).config(config);
    let ordinary = Request::get("/").header("host", "a").body(String::new()).unwrap();
    let response = proxy.clone().oneshot(ordinary).await.unwrap();
    assert_eq!(response.status(), 502);
    let failure: &std::sync::Arc<Error> = response.extensions().get().expect("why it failed");
    assert_eq!((**failure).phase(), Phase::Connect);

    let nameless = Request::get("/").body(String::new()).unwrap();
    let response = proxy.oneshot(nameless).await.unwrap();
    assert!(matches!(response.extensions().get(), Some(Rejection::Head(_))));
}

#[tokio::test]
async fn another_protocol_is_served_where_it_is_allowed() {
    let script = Script::new()
        .read_head()
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo/2\r\n\r\nhello");
    let origin = ScriptedOrigin::start(script.echo()).await;
    let foo: Protocol = "foo/2".parse().unwrap();
    let upgrade = UpgradeConfig::default().policy(HandshakePolicy::default().allow(foo));
    let config = ServiceConfig::default().upgrade(upgrade);
    let service = UpgradeService::new(TcpConnect::to(origin.address().to_string())).config(config);
    let mounted = Mounted::on(Server::Axum, service).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo/2\r\n\r\n";
    let mut client = mounted.client_sending(request).await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"hello").await;
}

/// What is missing is named, for each combination of what an upgrade needs.
#[tokio::test]
async fn the_reason_of_a_request_that_is_no_upgrade() {
    use Rejection::{
        ConnectionOptionMissing as Option_, HandshakeInHttp10 as Http10, ProtocolNotAllowed as Protocol_,
        UpgradeMissing as Upgrade_, UpgradeRequired as Required,
    };
    // Upgrade; with the connection option, without it.
    let with_key = [
        (None, Upgrade_, Upgrade_),
        (Some(""), Upgrade_, Upgrade_),
        (Some("foo/1"), Protocol_, Protocol_),
        (Some("h2c"), Protocol_, Protocol_),
        (Some("bar/2"), Required, Option_),
        (Some("websocket"), Required, Option_),
        (Some("foo/1, bar/2"), Required, Option_),
    ];
    let without_key = [
        (None, Upgrade_, Required),
        (Some(""), Upgrade_, Required),
        (Some("foo/1"), Protocol_, Protocol_),
        (Some("bar/2"), Required, Option_),
        (Some("websocket"), Required, Option_),
    ];
    let policy = HandshakePolicy::default().allow("bar/2".parse().unwrap());
    let config = ServiceConfig::default().upgrade(UpgradeConfig::default().policy(policy));
    let service = UpgradeService::new(TcpConnect::to("127.0.0.1:1")).config(config);
    let cases = with_key
        .iter()
        .map(|case| (true, case))
        .chain(without_key.iter().map(|case| (false, case)));
    for (has_key, (upgrade, with_option, without_option)) in cases {
        for (connection, expected) in [
            (Some("keep-alive, Upgrade"), with_option),
            (Some("keep-alive"), without_option),
            (None, without_option),
        ] {
            for version in [http::Version::HTTP_11, http::Version::HTTP_10] {
                let mut request = Request::get("/").version(version).header("host", "a");
                let fields = [
                    ("upgrade", *upgrade),
                    ("connection", connection),
                    ("sec-websocket-key", has_key.then_some("dGhlIHNhbXBsZSBub25jZQ==")),
                ];
                for (name, value) in fields {
                    if let Some(value) = value {
                        request = request.header(name, value);
                    }
                }
                let asked_in_http10 = has_key || upgrade.is_some_and(|upgrade| !upgrade.is_empty());
                let expected = match version {
                    http::Version::HTTP_10 if asked_in_http10 => &Http10,
                    http::Version::HTTP_10 => &Required,
                    _ => expected,
                };
                // An upgrade that is allowed and whole is judged elsewhere.
                if version == http::Version::HTTP_11 && with_option == expected && *expected == Required {
                    continue;
                }
                let response = answered(service.clone(), request.body(String::new()).unwrap()).await;
                let reported = format!("{version:?} {upgrade:?} {connection:?}, a key: {has_key}");
                assert_eq!(response.status(), 426, "{reported}");
                assert_eq!(response.extensions().get(), Some(expected), "{reported}");
            }
        }
    }
}
