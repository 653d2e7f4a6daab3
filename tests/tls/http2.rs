//! An upstream that speaks WebSocket over HTTP/2, over TLS: the connector asks for `h2`, and for nothing else.

use bytes::Bytes;
use switchover::Cause;
use switchover::connect::ConnectError;
use switchover::http2::{Http2Config, Http2Connect};
use switchover::test_util::UPGRADE_REQUEST;
use switchover::tls::{TlsClientConfig, TlsConnect, TlsFailure};

use crate::certificates::{Authority, VERSIONS};
use crate::front::Front;
use crate::peer::{Origin, Peer, connect};

fn over_http2(authority: &Authority, origin: &Origin) -> Http2Connect<TlsConnect> {
    let tls = TlsClientConfig::builder().only_roots(authority.pem.as_str());
    let tls = TlsConnect::to(origin.address.to_string(), tls.build().unwrap()).unwrap();
    Http2Connect::new(tls.http2()).config(Http2Config::default().scheme(http::uri::Scheme::HTTPS))
}

/// Takes one extended CONNECT, and sends back what it brings.
async fn echo(peer: Peer) {
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    let mut connection = builder.handshake::<_, Bytes>(peer.stream).await.unwrap();
    let (request, mut respond) = connection.accept().await.expect("a request").unwrap();
    assert_eq!(request.method(), http::Method::CONNECT);
    assert_eq!(request.uri().scheme_str(), Some("https"));
    let echoing = async move {
        let mut body = request.into_body();
        let mut answer = respond.send_response(http::Response::new(()), false).unwrap();
        while let Some(Ok(bytes)) = body.data().await {
            body.flow_control().release_capacity(bytes.len()).unwrap();
            answer.send_data(bytes, false).unwrap();
        }
    };
    // Polling it is what moves the bytes.
    tokio::select! {
        () = echoing => {}
        _ = connection.accept() => {}
    }
}

#[tokio::test]
async fn a_tunnel_on_a_stream_of_an_encrypted_connection() {
    let authority = Authority::new();
    let server = authority.localhost().server(&VERSIONS, None, &["http/1.1", "h2"]);
    let mut origin = Origin::start(Some(server)).await;
    let front = Front::start(None, over_http2(&authority, &origin)).await;
    let mut client = connect(front.address, None).await.unwrap();
    client.send(format!("{UPGRADE_REQUEST}early")).await;
    let echoing = tokio::spawn(echo(origin.accepts().await.unwrap()));
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    client.receives("early").await;
    client.send("and more").await;
    client.receives("and more").await;
    echoing.abort();
}

#[tokio::test]
async fn an_upstream_that_speaks_only_the_older_one() {
    let authority = Authority::new();
    for alpn in [&["http/1.1"][..], &[]] {
        let server = authority.localhost().server(&VERSIONS, None, alpn);
        let origin = Origin::start(Some(server)).await;
        let mut front = Front::start(None, over_http2(&authority, &origin)).await;
        let mut client = connect(front.address, None).await.unwrap();
        client.send(UPGRADE_REQUEST).await;
        assert!(client.head().await.starts_with("HTTP/1.1 502 "));
        drop(client);
        let error = front.served().await.expect_err("no tunnel");
        let Cause::Connect(ConnectError::Tls { error: source, .. }) = error.reason() else {
            panic!("{error}");
        };
        assert_eq!(TlsFailure::of_handshake(source), TlsFailure::NoCommonProtocol);
    }
}
