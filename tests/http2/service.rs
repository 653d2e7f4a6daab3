//! The other door: a service in axum, with an HTTP/2 upstream behind it and clients of either version in front.

use axum::Router;
use bytes::Bytes;
use h2::ext::Protocol;
use http::{Request, Response};
use switchover::service::UpgradeService;
use switchover::test_util::{ScriptedClient, UPGRADE_REQUEST};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::upstream::{Tunnel, Upstream, within};

/// A service in axum, and its address. It ends with the set.
async fn mounted(upstream: &Upstream) -> (std::net::SocketAddr, JoinSet<()>) {
    let service = UpgradeService::new(upstream.connect());
    let router: Router = Router::new().fallback_service(service);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        axum::serve(
            listener,
            router.into_make_service_with_connect_info::<std::net::SocketAddr>(),
        )
        .await
        .unwrap()
    });
    (address, serving)
}

#[tokio::test]
async fn an_http_1_client() {
    let mut upstream = Upstream::start().await;
    let (address, _serving) = mounted(&upstream).await;
    let mut client = ScriptedClient::connect(address).await;
    client.send(UPGRADE_REQUEST).await;
    let asked = upstream.asked().await;
    assert_eq!(asked.protocol(), Some("websocket"));
    let mut tunnel = asked.agree();
    let head = client.head().await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["sec-websocket-accept"]),
        (101, &"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".parse().unwrap())
    );
    client.send(b"there").await;
    tunnel.receives(b"there").await;
    tunnel.send("and back").await;
    client.receives(b"and back").await;
    client.end_writes().await;
    tunnel.ends().await;
    tunnel.end();
    client.ends().await;
}

#[tokio::test]
async fn an_http_1_client_that_is_declined() {
    let mut upstream = Upstream::start().await;
    let (address, _serving) = mounted(&upstream).await;
    let mut client = ScriptedClient::connect(address).await;
    client.send(UPGRADE_REQUEST).await;
    let answer = Response::builder()
        .status(401)
        .header("www-authenticate", "Basic")
        .body(())
        .unwrap();
    let mut stream = upstream.asked().await.answer(answer);
    stream.send("who are you?").await;
    stream.end();
    let head = client.head().await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["www-authenticate"]),
        (401, &"Basic".parse().unwrap())
    );
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(rest.contains("who are you?"), "{rest}");
}

#[tokio::test]
async fn an_http_2_client_and_no_http_1_but_in_between() {
    let mut upstream = Upstream::start().await;
    let (address, _serving) = mounted(&upstream).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut send, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let mut driving = JoinSet::new();
    driving.spawn(async move {
        let _ = connection.await;
    });
    within("settings", pings.ping(h2::Ping::opaque())).await.unwrap();
    let request = Request::connect("http://example.com/chat?a=b")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "a, b")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let (response, stream) = send.send_request(request.body(()).unwrap(), false).unwrap();

    let asked = upstream.asked().await;
    assert_eq!(asked.protocol(), Some("websocket"));
    assert_eq!(asked.request.uri, "http://example.com/chat?a=b");
    assert_eq!(asked.request.headers["cookie"], "a=1; b=2");
    assert!(!asked.request.headers.contains_key("sec-websocket-key"));
    let mut tunnel = asked.answer(
        Response::builder()
            .header("sec-websocket-protocol", "b")
            .body(())
            .unwrap(),
    );

    let response = within("an answer", response).await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["sec-websocket-protocol"]
        ),
        (200, &"b".parse().unwrap())
    );
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    let mut client = Tunnel::new(stream, response.into_body());
    client
        .send(Bytes::from_static(b"\x81\x85\x01\x02\x03\x04there"))
        .await;
    tunnel.receives(b"\x81\x85\x01\x02\x03\x04there").await;
    tunnel.send("and back").await;
    client.receives(b"and back").await;
    client.end();
    tunnel.ends().await;
    tunnel.end();
    client.ends().await;
}
