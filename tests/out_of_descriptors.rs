//! Where the process has no descriptor left: no server is blamed, the listener recovers, and what is open goes on. Alone in
//! its process, because it takes all descriptors of it.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::bounded::within;
use switchover::connect::{Shortage, TcpConnect};
use switchover::gateway::next_connection;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::upstream::{Group, Health, Server};
use switchover::{Gateway, Outcome};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// No descriptor can be opened while this is there.
struct Exhausted(Rlimit);

impl Exhausted {
    /// But so many.
    fn but(left: usize) -> Self {
        let former = getrlimit(Resource::Nofile);
        let is_open = |number: &u64| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
        // The first number that must not be given.
        let current = (0..).filter(|number| !is_open(number)).nth(left);
        let maximum = former.maximum;
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
        Exhausted(former)
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.0).unwrap();
    }
}

fn serve(
    listener: TcpListener,
    gateway: Gateway<Group>,
) -> mpsc::UnboundedReceiver<Result<Outcome<tokio::net::TcpStream>, switchover::Error>> {
    let (sender, served) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (client, peer) = next_connection(&listener).await;
            let (gateway, sender) = (gateway.clone(), sender.clone());
            tokio::spawn(async move { drop(sender.send(gateway.serve(client, peer).await)) });
        }
    });
    served
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn without_descriptors() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let name = format!("localhost:{}", origin.address().port());
    let group = Group::of([Server::to(&name), Server::to(origin.address().to_string())]);
    let (listening, address) = listener().await;
    let mut served = serve(listening, Gateway::builder(group.clone()).build());

    let mut tunnel = ScriptedClient::connect(address).await;
    tunnel.send(UPGRADE_REQUEST).await;
    assert_eq!(tunnel.head().await.status, 101);

    // They are connected and accepted, and have not asked yet.
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = ScriptedClient::connect(address).await;
        client.send("GET / HTTP/1.1\r\n").await;
        clients.push(client);
    }
    let (waiting, waiting_at) = listener().await;
    let mut late = ScriptedClient::connect(waiting_at).await;
    late.send(UPGRADE_REQUEST).await;
    settled().await;

    for mut client in clients {
        // A connection that has ended gives back its own.
        let exhausted = Exhausted::but(0);
        client.send(UPGRADE_REQUEST.split_once("\r\n").unwrap().1).await;
        let (head, body) = client.response().await;
        drop((exhausted, client));
        let error = within("a connection to end", served.recv())
            .await
            .unwrap()
            .unwrap_err();
        let text = String::from_utf8(body).unwrap();
        assert_eq!(head.status, 503, "{error:?}: {text}");
        assert_eq!(error.reason().name(), "out-of-resources", "{error}");
    }
    for server in group.servers() {
        assert_eq!((server.health, server.failed), (Health::Healthy, 0), "{server:?}");
    }
    let exhausted = Exhausted::but(0);
    tunnel.send("hello").await;
    tunnel.receives(b"hello").await;

    // One that waits in the backlog is served when there is room.
    let _served = serve(waiting, Gateway::builder(group.clone()).build());
    tokio::time::sleep(Duration::from_millis(120)).await;
    drop(exhausted);
    assert_eq!(late.head().await.status, 101);

    // A resolver that can open nothing may say that there is no such name.
    let exhausted = Exhausted::but(0);
    let error = TcpConnect::to(&name).stream().await.unwrap_err();
    drop(exhausted);
    assert_eq!(error.shortage(), Some(Shortage::Resources), "{error}");
    let error = TcpConnect::to("no..name:80").stream().await.unwrap_err();
    assert_eq!((error.shortage(), error.name()), (None, "unresolved"), "{error}");
}

/// Waits until no descriptor is opened any more: the server has taken all connections.
async fn settled() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut before = 0;
    while count() != before {
        before = count();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
