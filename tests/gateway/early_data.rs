//! Bytes that a client sends before the 101: they wait, they are bounded, and they go upstream after a switch only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use switchover::connect::TcpConnect;
use switchover::gateway::{Gateway, GatewayConfig};
use switchover::header::Hop;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::io::AsyncWriteExt;

use crate::running_gateway::{RunningGateway, refused};

#[tokio::test]
async fn bytes_before_the_101_wait_for_it() {
    let script = Script::new()
        .read_head()
        .pause(Duration::from_millis(100))
        .switch();
    let origin = ScriptedOrigin::start(script).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(format!("{UPGRADE_REQUEST}one")).await;
    client.send("two").await;
    let connection = origin.connection(0).await;
    let head = connection.head().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        connection.received(),
        head.as_bytes(),
        "nothing but the head before the 101"
    );
    client.send("three").await;
    assert_eq!(client.head().await.status, 101);
    client.send("four").await;
    connection
        .receives(format!("{head}onetwothreefour").as_bytes())
        .await;
}

#[tokio::test]
async fn bytes_before_a_refusal_go_nowhere() {
    for (answer, status) in [
        ("HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n", 403),
        (
            "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            502,
        ),
        ("rubbish\r\n", 502),
    ] {
        let script = Script::new()
            .read_head()
            .pause(Duration::from_millis(30))
            .send(answer);
        let origin = ScriptedOrigin::start(script).await;
        let gateway = RunningGateway::to(&origin).await;
        let mut client = gateway
            .client_sending(format!("{UPGRADE_REQUEST}{UPGRADE_REQUEST}"))
            .await;
        assert_eq!(client.head().await.status, status);
        let _ = client.try_send(b"and more").await;
        let connection = origin.connection(0).await;
        connection
            .receives_exactly_and_ends(connection.head().await.as_bytes())
            .await;
        assert_eq!((origin.connections(), origin.requests()), (1, 1));
    }
}

#[tokio::test]
async fn bytes_after_a_refusal_of_the_proxy_do_not_reset_it_away() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gateway = RunningGateway::to(&origin).await;
    let wrong = UPGRADE_REQUEST.replacen("13", "12", 1);
    let mut client = gateway
        .client_sending(format!("{wrong}{}", "x".repeat(200_000)))
        .await;
    for _ in 0..3 {
        // Were the connection closed with bytes unread, the second of these would fail.
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.send("more").await;
    }
    refused(&mut client, 426).await;
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_flood_before_the_101_is_held_back_and_then_arrives_whole() {
    const FLOOD: usize = 1024 * 1024;
    const THINKING: Duration = Duration::from_millis(2500);
    let script = Script::new().read_head().pause(THINKING).switch();
    let origin = ScriptedOrigin::start(script).await;
    let gateway = Gateway::builder(TcpConnect::to(origin.address().to_string()))
        .config(GatewayConfig::default())
        .build();
    let (mut client, stream) = tokio::io::duplex(4096);
    let serving = tokio::spawn(async move { gateway.serve(stream, Hop::unknown()).await });

    let bytes: Vec<u8> = (0..FLOOD).map(|at| (at % 251) as u8).collect();
    let expected = bytes.clone();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = accepted.clone();
    let started = Instant::now();
    let writing = tokio::spawn(async move {
        client.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
        for piece in bytes.chunks(1000) {
            client.write_all(piece).await.unwrap();
            counted.fetch_add(piece.len(), Ordering::SeqCst);
        }
        client
    });
    let connection = origin.connection(0).await;
    let head = connection.head().await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(
        started.elapsed() < THINKING,
        "the machine is too slow for this test"
    );
    let early = accepted.load(Ordering::SeqCst);
    assert!(
        (60_000..80_000).contains(&early),
        "{early} bytes taken before the 101"
    );
    assert_eq!(connection.received(), head.as_bytes());

    let client = writing.await.unwrap();
    connection.receives(&expected).await;
    assert_eq!(connection.received().len(), head.len() + FLOOD);
    drop(client);
    serving.await.unwrap().unwrap();
}

/// The end of the client's stream stands behind bytes that are not read.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_floods_and_leaves_frees_the_upstream() {
    for resets in [true, false] {
        let origin = ScriptedOrigin::start(Script::new()).await;
        let gateway = RunningGateway::to(&origin).await;
        let client = gateway
            .client_sending(format!("{UPGRADE_REQUEST}{}", "x".repeat(100_000)))
            .await;
        let connection = origin.connection(0).await;
        connection.head().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let left = Instant::now();
        if resets {
            client.reset()
        } else {
            drop(client)
        }
        connection.end().await;
        assert!(
            left.elapsed() < Duration::from_secs(8),
            "freed after {:?}",
            left.elapsed()
        );
    }
}
