//! Tunnels are counted to their end, whatever it is, and nothing is left of them.

use std::net::SocketAddr;
use std::time::Duration;

use support::bounded::until;
use switchover::UpgradeConfig;
use switchover::gateway::{Gateway, Outcome};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::tunnel::Traffic;
use switchover::upstream::Group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::door::DOORS;
use crate::{milliseconds, server};

/// How the client ends its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Waits,
    Leaves,
    Resets,
    LeavesTheTunnel,
    ResetsTheTunnel,
}

fn open(group: &Group) -> usize {
    group.servers().iter().map(|server| server.tunnels).sum()
}

async fn none_are_open(group: &Group) {
    until("no tunnel to be left", || open(group) == 0).await;
}

#[tokio::test]
async fn hundreds_of_every_end() {
    const TIMES: usize = 100;
    let switch = || Script::new().read_head().switch();
    let kinds = [
        ("ended by the client", switch().echo(), Client::LeavesTheTunnel),
        ("reset by the client", switch().echo(), Client::ResetsTheTunnel),
        ("ended by the origin", switch().close(), Client::Waits),
        ("reset by the origin", switch().reset(), Client::Waits),
        (
            "declined",
            Script::answering("HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno"),
            Client::Waits,
        ),
        (
            "declined, cut short",
            Script::answering("HTTP/1.1 403 x\r\nContent-Length: 9\r\n\r\nno").close(),
            Client::Waits,
        ),
        ("closed", Script::new().read_head().close(), Client::Waits),
        ("rubbish", Script::answering("rubbish\r\n\r\n"), Client::Waits),
        ("silent", Script::new(), Client::Waits),
        ("left before the answer", Script::new(), Client::Leaves),
        ("reset before the answer", Script::new(), Client::Resets),
    ];
    for door in DOORS {
        for (kind, script, client) in &kinds {
            let config = match *kind {
                "silent" => UpgradeConfig::default().handshake_timeout(milliseconds(30)),
                _ => UpgradeConfig::default(),
            };
            let origin = ScriptedOrigin::start(script.clone()).await;
            let group = Group::of([server(&origin).max_fails(0).max_tunnels(TIMES)]);
            let proxy = door.with(group.clone(), config).await;
            for _ in 0..TIMES / 10 {
                let mut clients = JoinSet::new();
                for _ in 0..10 {
                    clients.spawn(act(proxy.address, *client));
                }
                clients.join_all().await;
            }
            // Those that leave at once may not have been accepted yet.
            let tried = || group.servers()[0].tried;
            until("all to be tried", || tried() >= TIMES as u64).await;
            none_are_open(&group).await;
            assert_eq!(tried(), TIMES as u64, "{door:?} {kind}");
        }
    }
}

async fn act(address: SocketAddr, how: Client) {
    let mut client = ScriptedClient::connect(address).await;
    client.send(UPGRADE_REQUEST).await;
    match how {
        Client::Waits => {
            let mut reported = Vec::new();
            let end = client.stream().read_to_end(&mut reported);
            // In order or not, as the origin has it.
            let _ = tokio::time::timeout(TIMEOUT, end).await.expect("an end");
        }
        Client::Leaves => drop(client),
        Client::Resets => client.reset(),
        Client::LeavesTheTunnel | Client::ResetsTheTunnel => {
            assert_eq!(client.head().await.status, 101);
            client.send("hi").await;
            client.receives(b"hi").await;
            match how {
                Client::ResetsTheTunnel => client.reset(),
                _ => drop(client),
            }
        }
    }
}

#[tokio::test]
async fn futures_that_are_dropped_give_back_what_they_have() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let group = Group::of([server(&origin)]);
    let gateway = Gateway::builder(group.clone()).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for turn in 0..60 {
        let mut client = ScriptedClient::connect(listener.local_addr().unwrap()).await;
        let (stream, peer) = listener.accept().await.unwrap();
        let gateway = gateway.clone();
        let serving = tokio::spawn(async move { drop(gateway.serve(stream, peer).await) });
        client.send(UPGRADE_REQUEST).await;
        tokio::time::sleep(Duration::from_micros(50 * turn)).await;
        serving.abort();
        let _ = serving.await;
        assert_eq!(open(&group), 0);
    }
    assert_eq!(
        group.servers()[0].failed,
        0,
        "a request that is given up shows nothing"
    );
}

/// A tunnel that has carried as many bytes each way.
async fn bulk(group: Group, total: usize) -> Traffic {
    let gateway = Gateway::builder(group).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = ScriptedClient::connect(listener.local_addr().unwrap()).await;
    let (stream, peer) = listener.accept().await.unwrap();
    let serving = tokio::spawn(async move { gateway.serve(stream, peer).await });
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    let (mut reader, mut writer) = client.stream().split();
    let send = async {
        writer.write_all(&vec![7; total]).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::with_capacity(total);
    let (_, read) = tokio::join!(send, reader.read_to_end(&mut received));
    assert_eq!(read.unwrap(), total);
    let Ok(Outcome::Tunnelled { traffic, .. }) = serving.await.unwrap() else {
        panic!("a tunnel")
    };
    traffic
}

#[tokio::test]
async fn bulk_through_a_group_is_spliced() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    // With other things to do, a machine may have no two full reads in a row.
    for attempt in 0.. {
        let traffic = bulk(Group::of([server(&origin)]), 32 * 1024 * 1024).await;
        if traffic.spliced_from_downstream() > 0 && traffic.spliced_from_upstream() > 0 {
            break;
        }
        assert!(attempt < 8, "never spliced both ways: {traffic}");
    }
}
