//! A thousand upgrades to servers most of which fail now and then, each in its way: no client sees it.

use switchover::UpgradeConfig;
use switchover::connect::Connect;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::upstream::{Balance, Group, Server};
use tokio::task::JoinSet;

use crate::black_hole::BlackHole;
use crate::door::{DOORS, Proxy};
use crate::{milliseconds, seconds, server};

const UPGRADES: usize = 1000;
const AT_ONCE: usize = 25;

/// Good two times of three, and bad in another way each time.
fn flapping(connection: usize) -> Script {
    let wrong_accept =
        "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
    match connection % 12 {
        2 => Script::new().close(),
        5 => Script::new().read_head().reset(),
        8 => Script::answering("rubbish\r\n\r\n"),
        11 => Script::answering(wrong_accept),
        _ => Script::websocket_echo(),
    }
}

async fn upgrade(address: std::net::SocketAddr, index: usize) {
    let mut client = ScriptedClient::connect(address).await.timeout(seconds(30));
    client
        .send(UPGRADE_REQUEST.replacen("/chat", &format!("/chat?room={index}"), 1))
        .await;
    assert_eq!(client.head().await.status, 101, "upgrade {index}");
    client.send(index.to_string()).await;
    client.receives(index.to_string().as_bytes()).await;
}

async fn a_thousand(proxy: &Proxy) {
    let mut clients = JoinSet::new();
    for index in 0..UPGRADES {
        if clients.len() == AT_ONCE {
            clients.join_next().await.unwrap().unwrap();
        }
        clients.spawn(upgrade(proxy.address, index));
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

#[tokio::test]
async fn no_client_sees_an_error_that_another_server_could_have_avoided() {
    let black_hole = BlackHole::open();
    for door in DOORS {
        for balance in ["round-robin", "least-tunnels", "hash:query:room"] {
            let slow = Script::new().read_head().pause(milliseconds(20)).switch().echo();
            let slow = ScriptedOrigin::start(slow).await;
            let silent = ScriptedOrigin::start(Script::new()).await;
            let unsteady = ScriptedOrigin::start_with(flapping).await;
            let hole = Server::to(black_hole.address.to_string());
            let group = [server(&slow), server(&unsteady), server(&silent), hole]
                .into_iter()
                // Short, so that they come back, and fail again, many times.
                .map(|server| server.fail_timeout(milliseconds(40)))
                .fold(Group::builder(), |group, server| group.server(server))
                .connect_timeout(milliseconds(100))
                .balance(balance.parse::<Balance>().unwrap())
                .build();
            let config = UpgradeConfig::default().handshake_timeout(seconds(2));
            let proxy = door.with(group.clone(), config).await;
            a_thousand(&proxy).await;

            let since = tokio::time::Instant::now();
            let is_left = || group.servers().iter().any(|server| server.tunnels > 0);
            while is_left() {
                assert!(since.elapsed() < TIMEOUT, "{door:?} {balance}: something is left");
                tokio::time::sleep(milliseconds(5)).await;
            }
            let [slow, unsteady, silent, hole] = &group.servers()[..] else {
                panic!()
            };
            assert_eq!(slow.failed, 0, "{door:?} {balance}");
            for failing in [unsteady, silent, hole] {
                assert!(failing.failed > 1, "{door:?} {balance}: {failing:?}");
            }
            let answered = |server: &switchover::upstream::ServerStatus| server.tried - server.failed;
            let good = answered(slow) + answered(unsteady) + answered(silent) + answered(hole);
            assert_eq!(good, UPGRADES as u64, "{door:?} {balance}");
        }
    }
}

#[tokio::test]
async fn a_black_hole_alone_is_a_504_within_the_deadline() {
    let black_hole = BlackHole::open();
    let group = Group::of([Server::to(black_hole.address.to_string())]);
    assert_eq!(group.pooling(), switchover::connect::Pooling::Keyed);
    for door in DOORS {
        let config = UpgradeConfig::default().connect_timeout(milliseconds(200));
        let proxy = door.with(group.clone(), config).await;
        let mut client = proxy.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 504, "{door:?}");
    }
    let status = &group.servers()[0];
    assert_eq!((status.failed, status.tunnels), (2, 0));
}
