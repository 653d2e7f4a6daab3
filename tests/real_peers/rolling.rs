//! Gateways behind a balancer on layer 4 are replaced one after the other, as a deployment does it: no upgrade is refused,
//! no tunnel ends early, and each gateway ends well.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::bounded::{until, within};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::sleep;

use crate::programs::{Server, executable};
use crate::proxies::{Kind, Proxy, own_address};

/// Where clients connect from.
const CLIENT: [u8; 4] = [127, 0, 0, 2];

/// How many gateways there are at a time; one more while one is replaced.
const REPLICAS: usize = 2;

/// A place for a gateway: where it listens, and where it is probed.
type Place = (SocketAddr, SocketAddr);

fn gateway((listen, health): Place, origin: SocketAddr) -> Server {
    Server::start(Command::new(executable("gateway")).args([
        format!("--listen={listen}"),
        format!("--health={health}"),
        format!("--route=/=http://{origin}"),
        "--accept-proxy-protocol=127.0.0.0/8".to_owned(),
        "--set-header=X-Client: $remote_addr".to_owned(),
        format!("--set-header=X-Gateway: {listen}"),
        // Ten times as long as the balancer needs to notice, and more: on a busy machine its probes are late.
        "--drain-delay=1500ms".to_owned(),
        "--drain-timeout=1m".to_owned(),
    ]))
}

async fn tunnel(balancer: SocketAddr) -> ScriptedClient {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((CLIENT, 0).into()).unwrap();
    let stream = socket.connect(balancer).await.expect("the balancer accepts");
    let mut client = ScriptedClient::from(stream);
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    echoed(&mut client).await;
    client
}

/// Through which gateway the last client has come.
async fn last_gateway(origin: &ScriptedOrigin) -> String {
    let received = origin.connection(origin.connections() - 1).await.received();
    let received = String::from_utf8_lossy(&received).into_owned();
    let gateway = received.lines().find_map(|line| line.strip_prefix("X-Gateway: "));
    gateway.expect("the gateway says so").to_owned()
}

async fn echoed(client: &mut ScriptedClient) {
    client.send("are you there?").await;
    client.receives(b"are you there?").await;
}

/// Waits until the probes of the balancer have found what is true: it sends nobody where nobody listens.
async fn noticed(balancer: SocketAddr) {
    let noticing = async {
        let mut in_a_row = 0;
        while in_a_row < 4 * REPLICAS {
            in_a_row = if answers(balancer).await { in_a_row + 1 } else { 0 };
        }
    };
    within("the balancer to send everyone where somebody listens", noticing).await;
}

/// Whether an upgrade is agreed to.
async fn answers(balancer: SocketAddr) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((CLIENT, 0).into()).unwrap();
    let mut answer = [0; 12];
    let asking = async {
        let mut stream = socket.connect(balancer).await?;
        stream.write_all(UPGRADE_REQUEST.as_bytes()).await?;
        stream.read_exact(&mut answer).await
    };
    asking.await.is_ok() && &answer == b"HTTP/1.1 101"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_are_replaced_and_no_client_notices() {
    if !Kind::Haproxy.is_here() {
        return;
    }
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let places: Vec<Place> = (0..2 * REPLICAS)
        .map(|_| (own_address(), own_address()))
        .collect();
    let mut gateways: Vec<Server> = places[..REPLICAS]
        .iter()
        .map(|place| gateway(*place, origin.address()))
        .collect();
    let balancer = Proxy::balancer(&places);
    noticed(balancer.address).await;

    let mut long: Vec<ScriptedClient> = Vec::new();
    let mut holding = HashSet::new();
    // The balancer may take a gateway for dead for a while whose probe was late.
    let each_has_some = async {
        while long.len() < 3 * REPLICAS || holding.len() < REPLICAS {
            long.push(tunnel(balancer.address).await);
            holding.insert(last_gateway(&origin).await);
        }
    };
    within("each gateway to have a tunnel", each_has_some).await;
    // All the while clients come and go.
    let (over, short) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let coming = {
        let (over, short, balancer) = (over.clone(), short.clone(), balancer.address);
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                drop(tunnel(balancer).await);
                short.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(2)).await;
            }
        })
    };
    let mut former = Vec::new();
    for place in &places[REPLICAS..] {
        gateways.push(gateway(*place, origin.address()));
        noticed(balancer.address).await;
        let leaving = gateways.remove(0);
        let before = short.load(Ordering::Relaxed);
        leaving.terminate();
        // Past the delay its listener is closed, and nobody is sent there.
        until("its listener to be closed", || {
            std::net::TcpStream::connect(leaving.address).is_err()
        })
        .await;
        until("clients to go on coming", || {
            short.load(Ordering::Relaxed) > before
        })
        .await;
        former.push(leaving);
    }
    over.store(true, Ordering::Relaxed);
    coming.await.expect("every client has had its tunnel");

    for client in &mut long {
        echoed(client).await;
    }
    assert!(
        former.iter_mut().all(|gateway| !gateway.has_ended()),
        "they wait for their tunnels"
    );
    drop(long);
    let since = Instant::now();
    while !former.iter_mut().all(Server::has_ended) {
        assert!(
            since.elapsed() < TIMEOUT,
            "a gateway without tunnels does not end"
        );
        sleep(Duration::from_millis(10)).await;
    }
    // The addresses of the clients have come through both.
    let client = SocketAddr::from((CLIENT, 0)).ip();
    for index in 0..origin.connections() {
        let head = origin.connection(index).await.head().await;
        assert!(head.contains(&format!("\r\nX-Client: {client}\r\n")), "{head}");
    }
}
