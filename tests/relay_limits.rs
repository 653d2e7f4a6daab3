//! What a `Relay` takes of a request's body, for how long it waits for it, and how much it says that it has sent.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use switchover::Error;
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::header::Hop;
use switchover::service::{Destination, Relay, RelayConfig};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What is known of one relayed request when it has ended.
#[derive(Debug)]
struct Reported {
    status: Option<StatusCode>,
    failure: Option<Arc<Error>>,
    bytes_sent: u64,
    body_bytes_sent: u64,
}

/// A client that has sent these bytes, and what the relay that serves one request for it will say.
async fn relaying(
    config: RelayConfig,
    origin: &ScriptedOrigin,
    bytes: &str,
) -> (ScriptedClient, JoinHandle<Reported>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let destination = Destination::new(origin.address().to_string().parse().unwrap());
    let reported = tokio::spawn(async move {
        let (stream, peer) = listener.accept().await.unwrap();
        let accepted = Acceptor::new(GatewayConfig::default()).accept(stream, peer).await;
        let Ok(Accepted::Ordinary(head, stream)) = accepted else {
            panic!("{accepted:?}")
        };
        let relayed = Relay::new(config)
            .serve(stream, &head, destination, Hop::from(peer))
            .await;
        let relayed = relayed.unwrap();
        Reported {
            status: relayed.status,
            failure: relayed.failure,
            bytes_sent: relayed.bytes_sent,
            body_bytes_sent: relayed.body_bytes_sent,
        }
    });
    let mut client = ScriptedClient::connect(address).await;
    client.send(bytes).await;
    (client, reported)
}

/// Reads a body of five bytes, however it is framed, and answers.
async fn origin() -> ScriptedOrigin {
    let answer = "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nthere";
    ScriptedOrigin::start(Script::new().read_head().read(5).send(answer)).await
}

const FIVE: [&str; 2] = [
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
];

#[tokio::test]
async fn a_body_as_large_as_the_limit_passes() {
    for request in FIVE {
        let origin = origin().await;
        let config = RelayConfig::default().max_request_body(5);
        let (mut client, reported) = relaying(config, &origin, request).await;
        assert_eq!(client.response().await.0.status, 201, "{request}");
        assert!(reported.await.unwrap().failure.is_none());
    }
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_413_and_no_upstream_hears_of_it() {
    let origin = origin().await;
    let config = RelayConfig::default().max_request_body(4);
    let (mut client, reported) = relaying(config, &origin, FIVE[0]).await;
    let (head, body) = client.response().await;
    let text = String::from_utf8(body).unwrap();
    assert_eq!(head.status, 413);
    assert_eq!(head.headers["connection"], "close");
    assert!(text.contains("larger than the limit of 4 bytes"), "{text}");
    client.ends().await;
    drop(client);
    assert_eq!(
        reported.await.unwrap().status,
        Some(StatusCode::PAYLOAD_TOO_LARGE)
    );
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn chunks_beyond_the_limit_are_413() {
    let origin = origin().await;
    let config = RelayConfig::default().max_request_body(4);
    let (mut client, reported) = relaying(config, &origin, FIVE[1]).await;
    let (head, body) = client.response().await;
    let text = String::from_utf8(body).unwrap();
    assert_eq!(head.status, 413, "{text}");
    assert!(text.contains("larger than the limit of 4 bytes"), "{text}");
    client.ends().await;
    drop(client);
    let failure = reported.await.unwrap().failure.expect("a failure");
    assert_eq!(failure.side(), switchover::Side::Downstream);
}

#[tokio::test]
async fn a_body_has_a_deadline_of_its_own() {
    let origin = origin().await;
    let config = RelayConfig::default()
        .read_timeout(Duration::from_secs(60))
        .request_body_timeout(Duration::from_millis(100));
    let unfinished = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel";
    let (mut client, reported) = relaying(config, &origin, unfinished).await;
    assert_eq!(client.response().await.0.status, 408);
    assert_eq!(reported.await.unwrap().status, Some(StatusCode::REQUEST_TIMEOUT));
}

#[tokio::test]
async fn the_bytes_sent_are_those_that_the_client_receives() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nthere\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ];
    let large = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nX-Large: {}\r\n\r\n{}",
        "x".repeat(40_000),
        "\r\n\r\n".repeat(75_000)
    );
    for answer in answers.into_iter().chain([&*large]) {
        let origin = ScriptedOrigin::start(Script::answering(answer)).await;
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let (mut client, reported) = relaying(RelayConfig::default(), &origin, request).await;
        let received = String::from_utf8(client.rest().await).unwrap();
        drop(client);
        let last_head = received.rfind("HTTP/1.1 ").unwrap();
        let body = received[last_head..].split_once("\r\n\r\n").unwrap().1;
        let reported = reported.await.unwrap();
        assert_eq!(
            (reported.bytes_sent, reported.body_bytes_sent),
            (received.len() as u64, body.len() as u64),
            "{reported:?}"
        );
    }
}
