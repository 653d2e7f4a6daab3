//! Dropping the future at any moment closes both sides.

use std::time::Duration;

use switchover::connect::TcpConnect;
use switchover::gateway::Gateway;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use tokio::net::TcpListener;

/// Serves one client, and gives up on a signal. Returns the client and what gives up.
async fn serve(origin: &ScriptedOrigin) -> (ScriptedClient, tokio::task::JoinHandle<()>) {
    let gateway = Gateway::builder(TcpConnect::to(origin.address().to_string())).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ScriptedClient::connect(listener.local_addr().unwrap()).await;
    let (stream, peer) = listener.accept().await.unwrap();
    let serving = tokio::spawn(async move { drop(gateway.serve(stream, peer).await) });
    (client, serving)
}

/// Expects that the client's connection ends, in order or not.
async fn ends(mut client: ScriptedClient) {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(TIMEOUT, client.stream().read_to_end(&mut bytes)).await;
    end.expect("an end of the client's connection").ok();
}

#[tokio::test]
async fn given_up_while_the_head_is_read() {
    let origin = ScriptedOrigin::start(Script::new()).await;
    let (mut client, serving) = serve(&origin).await;
    client.send("GET / HTTP/1.1\r\n").await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    serving.abort();
    ends(client).await;
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn given_up_while_the_upstream_thinks_answers_or_tunnels() {
    for script in [
        Script::new(),
        Script::answering("HTTP/1.1 103 x\r\n\r\nHTTP/1.1 10"),
        Script::answering("HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\nhello"),
        Script::answering("HTTP/1.1 200 x\r\n\r\nhello"),
        Script::new().read_head().switch(),
        Script::new().read_head().switch().send("frame").end_writes(),
    ] {
        let origin = ScriptedOrigin::start(script).await;
        let (mut client, serving) = serve(&origin).await;
        client.send(UPGRADE_REQUEST).await;
        let connection = origin.connection(0).await;
        connection.head().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        serving.abort();
        connection.end().await;
        ends(client).await;
    }
}

#[tokio::test]
async fn given_up_after_every_hundred_microseconds() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    for turn in 0..40 {
        let (mut client, serving) = serve(&origin).await;
        client.send([UPGRADE_REQUEST.as_bytes(), b"frame"].concat()).await;
        tokio::time::sleep(Duration::from_micros(100 * turn)).await;
        serving.abort();
        ends(client).await;
    }
    for index in 0..origin.connections() {
        origin.connection(index).await.end().await;
    }
}
