//! A client that leaves before the 101 frees the upstream at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::gateway::{GatewayConfig, Outcome};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::net::TcpStream;

use crate::running_gateway::RunningGateway;

/// Long before any deadline of the gateway.
const SOON: Duration = Duration::from_secs(8);

fn closes(client: ScriptedClient) {
    drop(client);
}

#[tokio::test]
async fn a_client_that_leaves_while_the_upstream_thinks() {
    for leave in [closes, ScriptedClient::reset] {
        for early in ["", "frame"] {
            let origin = ScriptedOrigin::start(Script::new()).await;
            let mut gateway = RunningGateway::to(&origin).await;
            let client = gateway.client_sending(format!("{UPGRADE_REQUEST}{early}")).await;
            let connection = origin.connection(0).await;
            let head = connection.head().await;

            let left = Instant::now();
            leave(client);
            connection.end().await;
            assert!(left.elapsed() < SOON, "freed after {:?}", left.elapsed());
            assert_eq!(connection.received(), head.as_bytes());
            let error = gateway.served().await.unwrap_err();
            assert_eq!(error.side(), switchover::Side::Downstream);
            assert_eq!(error.status(), None, "there is nobody to tell");
        }
    }
}

/// Counts the attempts that are given up.
struct CountsGivenUp(Arc<AtomicUsize>);

struct Attempt(Arc<AtomicUsize>);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Connect for CountsGivenUp {
    type Stream = TcpStream;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        let _attempt = Attempt(self.0.clone());
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_the_upstream_is_being_connected() {
    let given_up = Arc::new(AtomicUsize::new(0));
    let mut gateway =
        RunningGateway::connecting(GatewayConfig::default(), CountsGivenUp(given_up.clone())).await;
    let client = gateway.client_sending(UPGRADE_REQUEST).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(client);
    assert!(gateway.served_within(SOON).await.is_err());
    assert_eq!(given_up.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_head() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut gateway = RunningGateway::to(&origin).await;
    for leave in [closes, ScriptedClient::reset] {
        let client = gateway.client_sending(&UPGRADE_REQUEST[..60]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        leave(client);
        let error = gateway.served_within(SOON).await.unwrap_err();
        assert_eq!(
            format!("{} {}", error.phase(), error.side()),
            "request head downstream"
        );
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_client_that_comes_and_goes() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut gateway = RunningGateway::to(&origin).await;
    drop(gateway.client().await);
    assert!(matches!(gateway.served_within(SOON).await, Ok(Outcome::Closed)));
}

#[tokio::test]
async fn a_client_that_leaves_the_tunnel_frees_the_upstream() {
    let origin = ScriptedOrigin::start(Script::new().read_head().switch()).await;
    let gateway = RunningGateway::to(&origin).await;
    for (index, leave) in [closes, ScriptedClient::reset].into_iter().enumerate() {
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101);
        let left = Instant::now();
        leave(client);
        origin.connection(index).await.end().await;
        assert!(left.elapsed() < SOON);
    }
}

#[tokio::test]
async fn a_client_that_ends_its_write_side_before_the_switch_is_served_where_that_is_allowed() {
    let allowing = || GatewayConfig::default().allow_early_half_close(true);
    for early in ["", "frame"] {
        // The upstream answers on a signal, long after the client's end.
        let script = Script::new()
            .read_head()
            .pause(Duration::from_millis(50))
            .switch()
            .read(early.len())
            .send("what follows")
            .echo()
            .close();
        let origin = ScriptedOrigin::start(script).await;
        let mut gateway = RunningGateway::with(allowing(), &origin).await;
        let mut client = gateway.client_sending(format!("{UPGRADE_REQUEST}{early}")).await;
        client.end_writes().await;
        assert_eq!(client.head().await.status, 101, "{early:?}");
        client.receives(b"what follows").await;
        client.ends().await;
        let connection = origin.connection(0).await;
        let head = connection.head().await;
        connection
            .receives_exactly_and_ends(format!("{head}{early}").as_bytes())
            .await;
        assert!(matches!(gateway.served().await, Ok(Outcome::Tunnelled { .. })));
    }

    let declining = ScriptedOrigin::start(
        Script::new()
            .read_head()
            .pause(Duration::from_millis(50))
            .send("HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno"),
    )
    .await;
    let gateway = RunningGateway::with(allowing(), &declining).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    client.end_writes().await;
    assert_eq!(client.head().await.status, 403);
    assert_eq!(client.rest().await, b"no");
}

#[tokio::test]
async fn a_client_that_ends_its_write_side_is_not_waited_for_beyond_the_handshake_deadline() {
    let origin = ScriptedOrigin::start(Script::new()).await;
    let config = GatewayConfig::default()
        .allow_early_half_close(true)
        .handshake_timeout(Duration::from_millis(100));
    let gateway = RunningGateway::with(config, &origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    client.end_writes().await;
    assert_eq!(client.head().await.status, 504);
    origin.connection(0).await.end().await;
}

#[tokio::test]
async fn a_reset_is_a_leave_in_any_case() {
    let origin = ScriptedOrigin::start(Script::new()).await;
    let config = GatewayConfig::default().allow_early_half_close(true);
    let gateway = RunningGateway::with(config, &origin).await;
    let client = gateway.client_sending(UPGRADE_REQUEST).await;
    let connection = origin.connection(0).await;
    connection.head().await;
    let left = Instant::now();
    client.reset();
    connection.end().await;
    assert!(left.elapsed() < SOON, "freed after {:?}", left.elapsed());
}
