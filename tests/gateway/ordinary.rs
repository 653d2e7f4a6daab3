//! Requests that are no upgrade come back to the caller as if nobody had read them.

use support::bounded::within;
use switchover::gateway::Outcome;
use switchover::test_util::{Script, ScriptedOrigin};
use tokio::io::AsyncReadExt;

use crate::running_gateway::RunningGateway;

const REQUESTS: [&str; 9] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n\r\nGET /a?b HTTP/1.1\r\nhOST:   a\t\r\nX-Odd:  \r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "GET http://b/c HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: no-upgrade\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n\r\nPRI",
];

#[tokio::test]
async fn an_ordinary_request_comes_back_byte_for_byte() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut gateway = RunningGateway::to(&origin).await;
    for request in REQUESTS {
        for offset in [0, 1, request.len() / 2, request.len() - 1] {
            let mut client = gateway.client().await;
            client.send_split_at(request, offset).await;
            client.end_writes().await;
            let Ok(Outcome::Ordinary(head, mut stream)) = gateway.served().await else {
                panic!("{request:?} is ordinary")
            };
            assert!(request.contains(head.method.as_str()));
            let mut bytes = Vec::new();
            within("the end", stream.read_to_end(&mut bytes)).await.unwrap();
            assert_eq!(
                bytes.escape_ascii().to_string(),
                request.as_bytes().escape_ascii().to_string()
            );
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_ordinary_request_is_handed_back_as_soon_as_its_head_is_whole() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut gateway = RunningGateway::to(&origin).await;
    let mut client = gateway
        .client_sending("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        .await;
    let Ok(Outcome::Ordinary(_, mut stream)) = gateway.served().await else {
        panic!("ordinary")
    };
    client.send("hello").await;
    client.end_writes().await;
    let mut bytes = String::new();
    within("the end", stream.read_to_string(&mut bytes))
        .await
        .unwrap();
    assert!(bytes.ends_with("\r\n\r\nhello"));
}
