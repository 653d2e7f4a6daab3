//! Descriptors are constant over a thousand failures of each kind. Alone in its process: it counts all of them.
#![cfg(target_os = "linux")]

use support::running_gateway;

use std::time::{Duration, Instant};

use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::gateway::GatewayConfig;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::upstream::{Group, Server};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use running_gateway::RunningGateway;

const FAILURES: usize = 1_000;
const AT_ONCE: usize = 100;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What a client does that fails.
#[derive(Clone, Copy)]
enum Client {
    /// Sends this and reads to the end.
    Sends(&'static str),
    /// Sends the good request and leaves.
    Leaves,
    /// Sends the good request and resets.
    Resets,
}

async fn fail(address: std::net::SocketAddr, client: Client) {
    let mut scripted = ScriptedClient::connect(address).await;
    match client {
        Client::Sends(bytes) => {
            scripted.send(bytes).await;
            let mut answer = Vec::new();
            let end = scripted.stream().read_to_end(&mut answer);
            // In order or reset, as the failure will have it.
            let _ = tokio::time::timeout(Duration::from_secs(5), end)
                .await
                .expect("an end");
        }
        Client::Leaves => scripted.send(UPGRADE_REQUEST).await,
        Client::Resets => {
            scripted.send(UPGRADE_REQUEST).await;
            scripted.reset();
        }
    }
}

async fn descriptors_stay(kind: &str, mut gateway: RunningGateway, client: Client) {
    // What the runtime opens once is open after the first failure.
    let address = gateway.address();
    tokio::join!(fail(address, client), async { drop(gateway.served().await) });
    let before = settled(usize::MAX).await;
    for _ in 0..FAILURES / AT_ONCE {
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            clients.spawn(fail(address, client));
        }
        for _ in 0..AT_ONCE {
            // What comes back, an ordinary request's stream, is closed here.
            drop(gateway.served().await);
        }
        while let Some(joined) = clients.join_next().await {
            joined.unwrap();
        }
    }
    let after = settled(before).await;
    assert!(
        after <= before,
        "{kind}: {before} descriptors before, {after} after {FAILURES} failures"
    );
}

/// The count when it has come down to the one expected, or has stopped to move.
async fn settled(expected: usize) -> usize {
    let started = Instant::now();
    let mut count = open_descriptors();
    while count > expected && started.elapsed() < Duration::from_secs(5)
        || expected == usize::MAX && started.elapsed() < Duration::from_millis(50)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
        count = open_descriptors();
    }
    count
}

/// A connector that never gets an answer.
struct NeverConnects;

impl Connect for NeverConnects {
    type Stream = TcpStream;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn descriptors_over_a_thousand_failures_of_each_kind() {
    let short = Duration::from_millis(10);
    let patient = GatewayConfig::default();
    let hurried = GatewayConfig::default()
        .header_timeout(short)
        .connect_timeout(short)
        .handshake_timeout(short)
        .read_timeout(short);
    let good = Client::Sends(UPGRADE_REQUEST);

    let switch = Script::new().read_head().switch();
    let wrong_accept =
        "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
    let cut_short = "HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nhello";
    let kinds = [
        ("a wrong Accept", Script::answering(wrong_accept), &patient, good),
        (
            "no Accept",
            Script::answering("HTTP/1.1 101 x\r\n\r\n"),
            &patient,
            good,
        ),
        (
            "declined",
            Script::answering("HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno"),
            &patient,
            good,
        ),
        ("cut short", Script::answering(cut_short).close(), &patient, good),
        ("stopped in a body", Script::answering(cut_short), &hurried, good),
        (
            "no answer, closed",
            Script::new().read_head().close(),
            &patient,
            good,
        ),
        (
            "no answer, reset",
            Script::new().read_head().reset(),
            &patient,
            good,
        ),
        ("no answer, silent", Script::new(), &hurried, good),
        ("rubbish", Script::answering("rubbish"), &patient, good),
        (
            "interim for ever",
            Script::answering("HTTP/1.1 103 x\r\n\r\n".repeat(99)),
            &patient,
            good,
        ),
        (
            "tunnel reset by the origin",
            switch.clone().reset(),
            &patient,
            good,
        ),
        (
            "tunnel closed by the origin",
            switch.clone().close(),
            &patient,
            good,
        ),
        (
            "tunnel left by the client",
            switch.clone(),
            &patient,
            Client::Leaves,
        ),
        (
            "tunnel reset by the client",
            switch.clone(),
            &patient,
            Client::Resets,
        ),
        ("left before the answer", Script::new(), &patient, Client::Leaves),
        ("reset before the answer", Script::new(), &patient, Client::Resets),
        (
            "a head that is none",
            Script::new(),
            &patient,
            Client::Sends("rubbish\0"),
        ),
        (
            "a head that does not end",
            Script::new(),
            &hurried,
            Client::Sends("GET /"),
        ),
        ("nothing sent", Script::new(), &hurried, Client::Sends("")),
        (
            "a handshake refused",
            Script::new(),
            &patient,
            Client::Sends("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        ),
        (
            "an ordinary request",
            Script::new(),
            &hurried,
            Client::Sends("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ),
    ];
    for (kind, script, config, client) in kinds {
        let origin = ScriptedOrigin::start(script).await;
        descriptors_stay(kind, RunningGateway::with(config.clone(), &origin).await, client).await;
    }

    let refusing = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    descriptors_stay(
        "refused",
        RunningGateway::connecting(patient, TcpConnect::to(refusing.to_string())).await,
        good,
    )
    .await;
    descriptors_stay(
        "never connected",
        RunningGateway::connecting(hurried.clone(), NeverConnects).await,
        good,
    )
    .await;

    // One request, several servers: none of them keeps anything of it.
    for (kind, script, last, client) in [
        (
            "all servers fail",
            Script::answering("rubbish"),
            Script::new(),
            good,
        ),
        (
            "the last server declines",
            Script::new().read_head().close(),
            Script::answering("HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno"),
            good,
        ),
        (
            "left while servers are asked",
            Script::new().read_head().reset(),
            Script::new(),
            Client::Leaves,
        ),
    ] {
        let (first, last) = (
            ScriptedOrigin::start(script).await,
            ScriptedOrigin::start(last).await,
        );
        let server = |address: std::net::SocketAddr| Server::to(address.to_string()).max_fails(0);
        let group = Group::of([
            server(refusing),
            server(first.address()),
            server(last.address()).backup(),
        ]);
        let gateway = RunningGateway::connecting(hurried.clone(), group.clone()).await;
        descriptors_stay(kind, gateway, client).await;
        for server in group.servers() {
            assert_eq!(server.tunnels, 0, "{kind}: {server:?}");
        }
    }
}
