//! The layer: upgrades that are allowed go to the upstream, and nothing else is touched.

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::{any, get};
use switchover::TcpConnect;
use switchover::service::UpgradeLayer;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};

use crate::servers::Mounted;

async fn app(origin: &ScriptedOrigin) -> Mounted {
    let echo = |headers: HeaderMap, body: Bytes| async move {
        let names: Vec<String> = headers.keys().map(|name| name.to_string()).collect();
        format!("{} {}", names.join(","), String::from_utf8_lossy(&body))
    };
    let app = Router::new()
        .route("/page", get(|| async { "the page" }))
        .fallback(any(echo))
        .layer(UpgradeLayer::new(TcpConnect::to(origin.address().to_string())));
    Mounted::router(app).await
}

#[tokio::test]
async fn upgrades_are_tunnelled_and_everything_else_is_the_inner_service_s() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mounted = app(&origin).await;
    let mut client = mounted
        .client_sending("GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(client.response().await.1, b"the page");
    // On the same connection, as browsers do.
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client.send("hello").await;
    client.receives(b"hello").await;
}

#[tokio::test]
async fn what_is_not_an_allowed_upgrade_arrives_untouched() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mounted = app(&origin).await;
    let request = "POST /any HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X-Mine\r\nUpgrade: h2c\r\n\
        X-Mine: 1\r\nContent-Length: 4\r\n\r\nbody";
    let mut client = mounted.client_sending(request).await;
    let (_, body) = client.response().await;
    let body = String::from_utf8(body).unwrap();
    assert_eq!(body, "host,connection,upgrade,x-mine,content-length body");
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_upgrade_that_breaks_a_rule_is_refused_and_not_passed_on() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mounted = app(&origin).await;
    let mut client = mounted
        .client_sending(UPGRADE_REQUEST.replace("Version: 13", "Version: 8"))
        .await;
    let (head, _) = client.response().await;
    assert_eq!(
        (
            head.status.as_u16(),
            head.headers["sec-websocket-version"].as_bytes()
        ),
        (426, &b"13"[..])
    );
    assert_eq!(origin.connections(), 0);
}
