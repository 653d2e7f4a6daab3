//! What upstreams hear first.

use support::bounded::within;
use switchover::connect::{Connect, TcpConnect};
use switchover::gateway::{Gateway, GatewayConfig};
use switchover::header::Hop;
use switchover::proxy_protocol::{Parsed, parse};
use switchover::proxy_protocol::{ProxyProtocolConnect, Version};
use switchover::service::{ReverseProxy, ServiceConfig};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST, switching_protocols};
use switchover::upstream::{Group, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What has been received on a connection, once a request head has.
async fn received(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let count = within("bytes, or the end", stream.read_buf(&mut bytes))
            .await
            .unwrap();
        assert!(count > 0, "ended after {}", bytes.escape_ascii());
    }
    bytes
}

/// What an upstream receives of an upgrade that comes over this hop.
async fn upgrade(version: Version, hop: Hop) -> Vec<u8> {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = TcpConnect::to(upstream.local_addr().unwrap().to_string());
    let gateway = Gateway::builder(ProxyProtocolConnect::new(connect, version))
        .config(GatewayConfig::default())
        .build();
    let (client, stream, _) = crate::pair().await;
    let serving = tokio::spawn(async move { drop(gateway.serve(stream, hop).await) });
    let mut client = ScriptedClient::from(client);
    client.send(UPGRADE_REQUEST).await;
    let (mut accepted, _) = upstream.accept().await.unwrap();
    let bytes = received(&mut accepted).await;
    let at = bytes.windows(4).position(|window| window == b"GET ").unwrap();
    let (mut head, ()) = http::Request::new(()).into_parts();
    let key = switchover::test_util::SAMPLE_KEY.parse().unwrap();
    head.headers.insert("sec-websocket-key", key);
    accepted.write_all(&switching_protocols(&head)).await.unwrap();
    assert_eq!(client.head().await.status, 101);
    drop((client, accepted));
    serving.await.unwrap();
    bytes[..at].to_vec()
}

#[tokio::test]
async fn an_upgrade_is_preceded_by_its_client() {
    let address = |text: &str| text.parse::<std::net::SocketAddr>().unwrap();
    let hop = Hop::from(address("192.0.2.1:5000")).at(address("198.51.100.1:443"));
    let line = upgrade(Version::V1, hop).await;
    assert_eq!(line, b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\n");
    let bytes = upgrade(Version::V2, hop).await;
    let Ok(Parsed::Complete { header, consumed, .. }) = parse(&bytes) else {
        panic!("{}", bytes.escape_ascii())
    };
    assert_eq!(consumed, bytes.len());
    assert_eq!(header.source(), Some(address("192.0.2.1:5000")));
    assert_eq!(header.destination(), Some(address("198.51.100.1:443")));
    let line = upgrade(Version::V1, Hop::unknown()).await;
    assert_eq!(line, b"PROXY UNKNOWN\r\n");
}

#[tokio::test]
async fn no_client_has_the_connection_of_another() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let connect = |upstream: &TcpListener| {
        let connect = TcpConnect::to(upstream.local_addr().unwrap().to_string());
        ProxyProtocolConnect::new(connect, Version::V1)
    };
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(connect(&upstream).pooling(), switchover::connect::Pooling::Never);
    let config = ServiceConfig::default().hop(|_| Hop::unknown());
    let alone = ReverseProxy::new(connect(&upstream)).config(config.clone());
    let grouped = ReverseProxy::new(Group::of([Server::new("one", connect(&upstream))])).config(config);
    for router in [
        axum::Router::new().fallback_service(alone),
        axum::Router::new().fallback_service(grouped),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut client = ScriptedClient::connect(address).await;
        for _ in 0..3 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let (mut accepted, _) = upstream.accept().await.unwrap();
            let bytes = received(&mut accepted).await;
            assert!(
                bytes.starts_with(b"PROXY UNKNOWN\r\nGET / "),
                "{}",
                bytes.escape_ascii()
            );
            accepted.write_all(answer.as_bytes()).await.unwrap();
            assert_eq!(client.response().await.0.status, 200);
        }
        serving.abort();
    }
}

#[tokio::test]
async fn an_upstream_that_closes_instead_is_a_502() {
    let origin = ScriptedOrigin::start(Script::new().reset()).await;
    let connect = TcpConnect::to(origin.address().to_string());
    let gateway = Gateway::builder(ProxyProtocolConnect::new(connect, Version::V2)).build();
    let (client, stream, peer) = crate::pair().await;
    let serving = tokio::spawn(async move { drop(gateway.serve(stream, peer).await) });
    let mut client = ScriptedClient::from(client);
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 502);
    serving.abort();
}
