//! Interim answers: passed on where they are wanted, bounded, and never taken for the answer.

use switchover::gateway::Outcome;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST, switching_protocols};

use crate::running_gateway::{RunningGateway, refused};

const HINTS: &str =
    "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: x-secret\r\nX-Secret: 1\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// An origin that sends this before the 101, in the same segment.
async fn origin_sending_first(before: String) -> ScriptedOrigin {
    let answer =
        move |request: &http::request::Parts| [before.as_bytes(), &switching_protocols(request)].concat();
    ScriptedOrigin::start(Script::new().read_head().answer(answer).echo()).await
}

#[tokio::test]
async fn hints_in_one_segment_with_the_101() {
    let origin = origin_sending_first(HINTS.to_owned()).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let hints = client.head().await;
    assert_eq!(
        (hints.status.as_u16(), hints.headers["link"].as_bytes()),
        (103, &b"</a>; rel=preload"[..])
    );
    assert!(!hints.headers.contains_key("x-secret"));
    assert_eq!(client.head().await.status, 101);
    client.send(b"frame").await;
    client.receives(b"frame").await;
}

#[tokio::test]
async fn hints_before_an_answer_that_declines() {
    let answer = format!("{HINTS}HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n");
    let origin = ScriptedOrigin::start(Script::new().read_head().send_in_pieces(answer, 10)).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 103);
    assert_eq!(client.head().await.status, 403);
    client.ends().await;
}

#[tokio::test]
async fn a_100_that_nobody_expects() {
    let origin = origin_sending_first(format!("{CONTINUE}{CONTINUE}")).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
}

#[tokio::test]
async fn a_100_that_the_client_expects() {
    let origin = origin_sending_first(CONTINUE.to_owned()).await;
    let gateway = RunningGateway::to(&origin).await;
    let request = UPGRADE_REQUEST.replacen("Host", "Expect: 100-Continue\r\nHost", 1);
    let mut client = gateway.client_sending(request).await;
    assert_eq!(client.head().await.status, 100);
    assert_eq!(client.head().await.status, 101);
}

#[tokio::test]
async fn as_many_interim_answers_as_the_bound_and_one_more() {
    let origin = origin_sending_first(HINTS.repeat(32)).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    for _ in 0..32 {
        assert_eq!(client.head().await.status, 103);
    }
    assert_eq!(client.head().await.status, 101);

    let origin = origin_sending_first(CONTINUE.repeat(33)).await;
    let mut gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert!(refused(&mut client, 502).await.contains("interim"));
    drop(client);
    assert_eq!(gateway.failed().await.0, "response head upstream");
    origin.connection(0).await.end().await;
}

#[tokio::test]
async fn an_upgrade_field_in_an_interim_answer_opens_nothing() {
    let hints = "HTTP/1.1 103 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let answer = format!("{hints}HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n");
    let origin = ScriptedOrigin::start(Script::answering(answer)).await;
    let mut gateway = RunningGateway::to(&origin).await;
    let mut client = gateway
        .client_sending([UPGRADE_REQUEST.as_bytes(), b"frame"].concat())
        .await;
    let hints = client.head().await;
    assert!(hints.status == 103 && !hints.headers.contains_key("upgrade"));
    assert_eq!(client.head().await.status, 403);
    client.ends().await;
    drop(client);
    assert!(matches!(gateway.served().await, Ok(Outcome::Declined(_))));
    let connection = origin.connection(0).await;
    connection
        .receives_exactly_and_ends(connection.head().await.as_bytes())
        .await;
}
