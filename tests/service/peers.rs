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
async fn under_axum_the_origin_is_told_and_the_cap_counts() {
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
    let told: Router = Router::new()
        .fallback_service(proxy.clone())
        .layer(MockConnectInfo(address));
    let unknown = proxy.config(ServiceConfig::default().hop(|_| Hop::unknown()));
    let unknown: Router = Router::new().fallback_service(unknown);
    for (at, (app, expected)) in [(told, "192.0.2.7"), (unknown, "unknown")]
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
