//! The example `graceful_drain` as a process that is asked to end.
#![cfg(unix)]

use std::time::{Duration, Instant};

use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use tokio::net::TcpStream;

use crate::program::Program;

async fn start(origin: &ScriptedOrigin, notice: &str, spread: &str) -> Program {
    let origin = origin.address().to_string();
    Program::start("graceful_drain", &["127.0.0.1:0", &origin, notice, spread]).await
}

async fn ready(program: &Program) -> u16 {
    let mut client = program.client().await;
    client.send("GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, _) = client.response().await;
    client.ends().await;
    head.status.as_u16()
}

async fn tunnel(program: &Program) -> ScriptedClient {
    let mut client = program.client().await;
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client
}

#[tokio::test]
async fn it_gives_notice_then_lets_nobody_in_then_sends_everyone_away() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut program = start(&origin, "2", "1").await;
    assert_eq!(ready(&program).await, 200);
    let mut tunnels = vec![tunnel(&program).await, tunnel(&program).await];

    let reported = Instant::now();
    program.terminate().await;
    while ready(&program).await == 200 {
        assert!(reported.elapsed() < TIMEOUT, "it has not seen the signal");
    }
    // The notice: new clients are served, and those that are there are left alone.
    tunnels.push(tunnel(&program).await);
    for client in &mut tunnels {
        client.send("hello").await;
        client.receives(b"hello").await;
    }
    for client in &mut tunnels {
        client.ends().await;
    }
    assert!(
        reported.elapsed() >= Duration::from_secs(2),
        "{:?}",
        reported.elapsed()
    );
    assert!(TcpStream::connect(program.address).await.is_err());
    drop(tunnels);
    assert!(program.ends().await.success());
}

#[tokio::test]
async fn with_nothing_open_it_ends_after_its_notice() {
    let origin = ScriptedOrigin::start(Script::new()).await;
    let mut program = start(&origin, "0", "60").await;
    let reported = Instant::now();
    program.terminate().await;
    assert!(program.ends().await.success());
    assert!(reported.elapsed() < TIMEOUT, "{:?}", reported.elapsed());
}
