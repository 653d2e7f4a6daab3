//! Users who are signed out, and tokens that expire.

use std::net::SocketAddr;
use std::time::Duration;

use signed_out::App;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tunnel::Tunnels;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// A Close 4001 with its reason.
const SIGNED_OUT: &[u8] = b"\x88\x0c\x0f\xa1signed out";

/// The app, and the origin behind it.
async fn running(validity: Duration) -> (SocketAddr, ScriptedOrigin) {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let app = App {
        chat: origin.address().to_string(),
        validity,
        tunnels: Tunnels::new(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app.router().into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    (address, origin)
}

async fn tunnel_of(app: SocketAddr, user: &str) -> ScriptedClient {
    let mut client = ScriptedClient::connect(app).await;
    let request = UPGRADE_REQUEST.replacen("/chat", "/live", 1);
    let request = request.replacen("\r\n", &format!("\r\nuser: {user}\r\n"), 1);
    client.send(request).await;
    assert_eq!(client.head().await.status, 101);
    client
}

async fn called(app: SocketAddr, path: &str) -> String {
    let mut client = ScriptedClient::connect(app).await;
    let request = format!("POST {path} HTTP/1.1\r\nHost: app\r\nContent-Length: 0\r\n\r\n");
    client.send(request).await;
    String::from_utf8(client.response().await.1).unwrap()
}

#[tokio::test]
async fn one_that_is_signed_out_loses_its_tunnels_within_a_second_and_nobody_else_does() {
    let (app, _origin) = running(Duration::from_secs(3600)).await;
    let mut alice = [tunnel_of(app, "alice").await, tunnel_of(app, "alice").await];
    let mut bob = tunnel_of(app, "bob").await;
    assert_eq!(called(app, "/sign-out/alice").await, "2\n");
    for tunnel in &mut alice {
        let closed = timeout(Duration::from_secs(1), tunnel.receives(SIGNED_OUT));
        closed.await.expect("within a second");
    }
    bob.receives_nothing_for(Duration::from_millis(200)).await;
    assert_eq!(called(app, "/sign-out/alice").await, "0\n");
    assert_eq!(called(app, "/sign-out/bob").await, "1\n");
}

#[tokio::test]
async fn a_token_that_is_renewed_keeps_its_tunnel_past_the_old_expiry() {
    let (app, _origin) = running(Duration::from_secs(2)).await;
    let mut renewed = tunnel_of(app, "alice").await;
    let mut expired = tunnel_of(app, "bob").await;
    called(app, "/renew/alice").await;
    // 1008: the policy of the app is violated by a token that is no longer valid.
    expired.receives(b"\x88").await;
    renewed.receives_nothing_for(Duration::from_millis(300)).await;
}
