//! Who has connected: found where servers put it, and asked for where nobody tells.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::connect_info::MockConnectInfo;
use http::{Request, StatusCode};
use switchover::handshake::Rejection;
use switchover::header::Hop;
use switchover::service::{ReverseProxy, ServiceConfig, UpgradeService};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tunnel::PeerCap;
use switchover::{TcpConnect, UpgradeConfig};
use tower::ServiceExt;

use crate::servers::Mounted;

fn to(origin: &ScriptedOrigin) -> TcpConnect {
    TcpConnect::to(origin.address().to_string())
}

#[tokio::test]
async fn under_axum_the_origin_learns_the_peer_and_the_cap_counts() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let config = UpgradeConfig::default().peer_cap(PeerCap::new(1));
    let service = UpgradeService::new(to(&origin)).config(ServiceConfig::default().upgrade(config));
    let mounted = Mounted::router(Router::new().fallback_service(service)).await;
    let mut first = mounted.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(first.head().await.status, 101);
    let head = origin.connection(0).await.head().await;
    assert!(head.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{head}");
    let mut second = mounted.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(second.head().await.status, 429);
}

/// A request to an application without a server, as tests of applications send it.
fn request() -> Request<axum::body::Body> {
    let request = Request::builder().uri("/page").header("host", "a.example");
    request.body(axum::body::Body::empty()).unwrap()
}

#[tokio::test]
async fn where_nobody_tells_the_first_request_says_what_to_do() {
    let origin =
        ScriptedOrigin::start(Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
    let proxy = ReverseProxy::new(to(&origin));
    let app: Router = Router::new().fallback_service(proxy.clone());
    let refused = app.oneshot(request()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(refused.extensions().get(), Some(&Rejection::PeerUnknown));
    assert_eq!(origin.connections(), 0);

    let address: SocketAddr = "192.0.2.7:4711".parse().unwrap();
    let reported: Router = Router::new()
        .fallback_service(proxy.clone())
        .layer(MockConnectInfo(address));
    let unknown = proxy.config(ServiceConfig::default().hop(|_| Hop::unknown()));
    let unknown: Router = Router::new().fallback_service(unknown);
    for (at, (app, expected)) in [(reported, "192.0.2.7"), (unknown, "unknown")]
        .into_iter()
        .enumerate()
    {
        assert_eq!(app.oneshot(request()).await.unwrap().status(), 200);
        let head = origin.connection(at).await.head().await;
        assert!(
            head.contains(&format!("X-Forwarded-For: {expected}\r\n")),
            "{head}"
        );
    }
}

/// An application as its tests build it: the peer is axum's mock.
fn mocked(proxy: ReverseProxy<TcpConnect>) -> Router {
    let address: SocketAddr = "192.0.2.7:4711".parse().unwrap();
    Router::new()
        .fallback_service(proxy)
        .layer(MockConnectInfo(address))
}

#[tokio::test]
async fn a_test_of_an_application_need_not_name_a_host() {
    let origin =
        ScriptedOrigin::start(Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
    let nameless = || Request::get("/page").body(axum::body::Body::empty()).unwrap();
    let with = |what: fn(&mut Request<axum::body::Body>)| {
        let mut request = nameless();
        what(&mut request);
        request
    };
    let peer = |request: &mut Request<_>| {
        let peer: SocketAddr = "192.0.2.8:4711".parse().unwrap();
        request.extensions_mut().insert(peer);
    };
    let connect_info = |request: &mut Request<_>| {
        let peer: SocketAddr = "192.0.2.8:4711".parse().unwrap();
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    };
    let hop = |request: &mut Request<_>| {
        request.extensions_mut().insert(Hop::unknown());
    };
    let empty = |request: &mut Request<_>| {
        request.headers_mut().insert("host", "".parse().unwrap());
    };
    let named = |request: &mut Request<_>| {
        request.headers_mut().insert("host", "a.example".parse().unwrap());
    };
    let absolute = |request: &mut Request<_>| {
        *request.uri_mut() = "http://b.example/page".parse().unwrap();
    };
    let mut answered = 0;
    for (what, request, host) in [
        ("nothing", nameless(), Some("localhost")),
        ("a Host", with(named), Some("a.example")),
        ("an empty Host", with(empty), None),
        ("a whole target", with(absolute), Some("b.example")),
        // What a server has said of its client is no mock.
        ("a peer", with(peer), None),
        ("a ConnectInfo", with(connect_info), None),
        ("a Hop", with(hop), None),
    ] {
        let app = mocked(ReverseProxy::new(to(&origin)));
        let response = app.oneshot(request).await.unwrap();
        match host {
            Some(host) => {
                assert_eq!(response.status(), 200, "{what}");
                let head = origin.connection(answered).await.head().await;
                assert!(
                    head.to_ascii_lowercase()
                        .contains(&format!("\r\nhost: {host}\r\n")),
                    "{what}: {head}"
                );
                answered += 1;
            }
            None => assert_eq!(response.status(), 400, "{what}"),
        }
    }
    assert_eq!(origin.connections(), answered);
}

/// The first lesson of a test of an upgrade is that there is no connection to upgrade.
#[tokio::test]
async fn a_test_of_an_upgrade_says_that_there_is_no_connection() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let upgrade = Request::get("/")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(axum::body::Body::empty());
    let response = mocked(ReverseProxy::new(to(&origin)))
        .oneshot(upgrade.unwrap())
        .await
        .unwrap();
    assert_eq!(response.extensions().get(), Some(&Rejection::NoUpgradeHere));
    assert_eq!(origin.connections(), 0);
}

/// Collecting keeps every piece of a body and asks for the next, which no server does.
#[tokio::test]
async fn a_test_or_a_layer_collects_a_body() {
    for (version, length) in [
        (http::Version::HTTP_11, 0),
        (http::Version::HTTP_11, 5),
        (http::Version::HTTP_11, 1_000_000),
        (http::Version::HTTP_2, 5),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let body = vec![b'x'; length];
        // In pieces, as an origin writes them.
        let script = Script::new()
            .read_head()
            .send(answer)
            .send_in_pieces(body, 10_000);
        let origin = ScriptedOrigin::start(script).await;
        let mut request = request();
        *request.version_mut() = version;
        let response = mocked(ReverseProxy::new(to(&origin)))
            .oneshot(request)
            .await
            .unwrap();
        let collected = axum::body::to_bytes(response.into_body(), usize::MAX);
        let collected = tokio::time::timeout(switchover::test_util::TIMEOUT, collected).await;
        let collected = collected.unwrap_or_else(|_| panic!("{version:?}: {length} bytes hang"));
        assert_eq!(collected.unwrap().len(), length, "{version:?}");
    }
}
