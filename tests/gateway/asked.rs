//! `Incoming::ask`: the caller decides what the client gets when it knows what the upstream has said.

use http::StatusCode;
use switchover::connect::TcpConnect;
use switchover::gateway::{Accepted, Acceptor, GatewayConfig, Incoming, Negotiated};
use switchover::header::Protocol;
use switchover::header::rules::{HeaderRules, Statuses, Variables};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

async fn asking(bytes: impl AsRef<[u8]>) -> (ScriptedClient, Incoming<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = ScriptedClient::connect(listener.local_addr().unwrap()).await;
    client.send(bytes).await;
    let (stream, peer) = listener.accept().await.unwrap();
    let acceptor = Acceptor::new(GatewayConfig::default());
    match acceptor.accept(stream, peer).await.unwrap() {
        Accepted::Upgrade(incoming) => (client, *incoming),
        other => panic!("{other:?}"),
    }
}

/// What is known only behind the answer, and what no rule may touch.
fn rules(status: StatusCode) -> HeaderRules {
    let rules = HeaderRules::default();
    let rules = rules.set_on_response("X-Origin", status.as_str(), Statuses::Always);
    let rules = rules.unwrap().remove_on_response("X-Secret").unwrap();
    assert!(rules.clone().remove_on_response("Sec-WebSocket-Accept").is_err());
    rules
}

#[tokio::test]
async fn rules_that_depend_on_the_answer() {
    for (declines, status) in [(false, "101"), (true, "403")] {
        let script = match declines {
            true => Script::answering("HTTP/1.1 403 No\r\nX-Secret: s\r\nContent-Length: 2\r\n\r\nno"),
            false => Script::websocket_echo(),
        };
        let origin = ScriptedOrigin::start(script).await;
        let (mut client, incoming) = asking(UPGRADE_REQUEST).await;
        let (head, hop) = (incoming.head().clone(), incoming.hop());
        let mut answered = incoming
            .ask(&TcpConnect::to(origin.address().to_string()))
            .await
            .unwrap();
        assert_eq!(answered.head().status.as_str(), status);
        let rules = rules(answered.head().status);
        answered.apply(&rules.prepare(&Variables::new(&head, &hop)));
        match (declines, answered.relay().await.unwrap()) {
            (true, Negotiated::Declined(status)) => {
                assert_eq!(status, 403);
                let (head, body) = client.response().await;
                assert_eq!(
                    (&*body, &head.headers["x-origin"]),
                    (&b"no"[..], &"403".parse().unwrap())
                );
                assert!(!head.headers.contains_key("x-secret"));
                assert_eq!(client.rest().await, b"");
            }
            (false, Negotiated::Switched(established)) => {
                assert_eq!(established.protocol(), &Protocol::WEBSOCKET);
                let tunnel = tokio::spawn(established.run());
                let head = client.head().await;
                assert_eq!(head.headers["x-origin"], "101");
                assert!(head.headers.contains_key("sec-websocket-accept"));
                client.send("hello").await;
                client.receives(b"hello").await;
                drop(client);
                let _ = tunnel.await.unwrap();
            }
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_of_the_callers_own_in_place_of_the_upstreams() {
    const OWN: &[u8] = b"HTTP/1.1 503 Later\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::answering(
        "HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nno",
    ))
    .await;
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for upstream in [origin.address(), closed] {
        // What follows the request is not read as one.
        let behind = format!("{UPGRADE_REQUEST}GET /behind HTTP/1.1\r\nHost: a\r\n\r\n");
        let (mut client, incoming) = asking(behind).await;
        let mut stream = match incoming.ask(&TcpConnect::to(upstream.to_string())).await {
            Ok(answered) => answered.into_client(),
            Err(unanswered) => {
                assert_eq!(unanswered.error().status(), Some(StatusCode::BAD_GATEWAY));
                unanswered.into_client().0
            }
        };
        stream.write_all(OWN).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(client.rest().await, OWN, "{upstream}");
    }
}

#[tokio::test]
async fn without_an_answer_of_its_own_it_is_refused() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let (mut client, incoming) = asking(UPGRADE_REQUEST).await;
    let unanswered = incoming
        .ask(&TcpConnect::to(closed.to_string()))
        .await
        .unwrap_err();
    let error = unanswered.refuse().await;
    assert_eq!(error.status(), Some(StatusCode::BAD_GATEWAY));
    assert_eq!(client.response().await.0.status, StatusCode::BAD_GATEWAY);
}
