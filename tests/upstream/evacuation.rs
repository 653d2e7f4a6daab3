//! Servers that leave: their tunnels end, one after the other, with the Close that was asked for, and nobody else's do.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::tunnel::{End, EndRequest, TunnelEvent, Tunnels, WebSocketConfig};
use switchover::upstream::{Evacuation, Group, Server};
use switchover::websocket::CloseCode;
use switchover::{TcpConnect, UpgradeConfig};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::door::{DOORS, Door, Proxy};
use crate::milliseconds;

const WINDOW: Duration = Duration::from_millis(400);
const EACH: usize = 10;
const CLOSE: &[u8] = b"\x88\x08\x03\xf4moving";

async fn origin() -> ScriptedOrigin {
    ScriptedOrigin::start(Script::websocket_echo()).await
}

fn evacuation(tunnels: &Tunnels) -> Evacuation {
    Evacuation::of(tunnels.clone())
        .window(WINDOW)
        .close(EndRequest::close(CloseCode::SERVICE_RESTART, "moving").unwrap())
}

async fn mounted(door: Door, group: &Group, tunnels: &Tunnels) -> Proxy {
    let config = UpgradeConfig::default()
        .websocket(WebSocketConfig::default().close_timeout(milliseconds(50)))
        .tunnels(tunnels.clone());
    door.with(group.clone(), config).await
}

async fn opened(proxy: &Proxy) -> ScriptedClient {
    let mut client = proxy.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client
}

/// Opens tunnels until each of the two servers has so many; returns those of the first, and the others.
async fn filled(
    proxy: &Proxy,
    tunnels: &Tunnels,
    first: SocketAddr,
) -> (Vec<ScriptedClient>, Vec<ScriptedClient>) {
    let (mut of_first, mut others) = (Vec::new(), Vec::new());
    for _ in 0..2 * EACH {
        let client = opened(proxy).await;
        let at = |tunnel: &switchover::tunnel::TunnelWatch| tunnel.upstream() == Some(&*first.to_string());
        match tunnels.iter().filter(at).count() == of_first.len() {
            true => others.push(client),
            false => of_first.push(client),
        }
    }
    assert_eq!((of_first.len(), others.len()), (EACH, EACH));
    (of_first, others)
}

/// The first server's clients are sent away over the window and come back; the others do not notice.
async fn moved(
    proxy: &Proxy,
    tunnels: &Tunnels,
    from: SocketAddr,
    of_first: Vec<ScriptedClient>,
    others: Vec<ScriptedClient>,
) {
    let start = Instant::now();
    let mut back = Vec::new();
    for mut client in of_first {
        client.receives(CLOSE).await;
        back.push(opened(proxy).await);
    }
    assert!(
        start.elapsed() >= WINDOW / 2,
        "not at once: {:?}",
        start.elapsed()
    );
    let gone = async {
        while tunnels
            .iter()
            .any(|tunnel| tunnel.upstream() == Some(&*from.to_string()))
        {
            tokio::time::sleep(milliseconds(2)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, gone).await.expect("all have left");
    for mut client in others.into_iter().chain(back) {
        // An empty text frame, whose mask does nothing; the origin sends it back as it came, which no server may.
        client.send(b"\x81\x80\0\0\0\0").await;
        client.receives(b"\x88").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_set_down() {
    for door in DOORS {
        let (first, second) = (origin().await, origin().await);
        let tunnels = Tunnels::new();
        let group = Group::builder()
            .server(crate::server(&first))
            .server(crate::server(&second))
            .evacuation(evacuation(&tunnels))
            .build();
        let proxy = mounted(door, &group, &tunnels).await;
        let (of_first, others) = filled(&proxy, &tunnels, first.address()).await;
        assert!(!group.set_down("nobody", true));
        assert!(group.set_down(&first.address().to_string(), true));
        assert_eq!(
            group
                .servers()
                .iter()
                .map(|server| server.down)
                .collect::<Vec<_>>(),
            [true, false]
        );
        moved(&proxy, &tunnels, first.address(), of_first, others).await;
        assert!(group.set_down(&first.address().to_string(), false));
        assert!(group.servers().iter().all(|server| !server.down));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_discovery_does_not_find_any_more() {
    for door in DOORS {
        let (first, second) = (origin().await, origin().await);
        let tunnels = Tunnels::new();
        let addresses = Arc::new(Mutex::new(vec![first.address(), second.address()]));
        let found = addresses.clone();
        let find = move || {
            let found = found.lock().unwrap().clone();
            async move { Ok(found) }
        };
        let group = Group::builder()
            .discover("chat", find, milliseconds(1), |address| {
                Server::to(address.to_string())
            })
            .evacuation(evacuation(&tunnels))
            .build();
        let proxy = mounted(door, &group, &tunnels).await;
        let (of_first, mut others) = filled(&proxy, &tunnels, first.address()).await;
        // They are in the order of their addresses.
        let place = usize::from(first.address() < second.address());
        addresses.lock().unwrap().remove(0);
        // The request that finds out. The answer before is good for a millisecond.
        tokio::time::sleep(milliseconds(5)).await;
        others.push(opened(&proxy).await);
        moved(&proxy, &tunnels, first.address(), of_first, others).await;
        // The one that stays keeps its place, and it is no other's.
        let places = || {
            group
                .servers()
                .iter()
                .map(|server| server.place)
                .collect::<Vec<_>>()
        };
        assert_eq!(places(), [place]);
        addresses.lock().unwrap().push(first.address());
        tokio::time::sleep(milliseconds(5)).await;
        opened(&proxy).await;
        assert!(
            matches!(places()[..], [first, other] if first == place && other != place),
            "{:?}",
            places()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_that_have_the_same_name() {
    for door in DOORS {
        let origins = [origin().await, origin().await];
        let tunnels = Tunnels::new();
        let servers = origins
            .iter()
            .map(|origin| Server::new("chat", TcpConnect::to(origin.address().to_string())));
        let builder = Group::builder().evacuation(evacuation(&tunnels).window(Duration::ZERO));
        let group = servers
            .fold(builder, |builder, server| builder.server(server))
            .build();
        let proxy = mounted(door, &group, &tunnels).await;
        let mut clients = [opened(&proxy).await, opened(&proxy).await];
        let mut places: Vec<_> = tunnels.iter().map(|tunnel| tunnel.place()).collect();
        places.sort_unstable();
        assert_eq!(places, [Some(0), Some(1)], "{door:?}");
        assert!(!group.set_down_at(2, true));
        assert!(group.set_down_at(0, true));
        let states: Vec<_> = group
            .servers()
            .iter()
            .map(|server| (server.place, server.down))
            .collect();
        assert_eq!(states, [(0, true), (1, false)]);
        // They have their turns in the order of their places.
        clients[0].receives(CLOSE).await;
        clients[1].receives_nothing_for(milliseconds(100)).await;
    }
}

/// An origin that agrees a little later.
async fn slow_origin() -> ScriptedOrigin {
    let script = Script::new().read_head().pause(milliseconds(200)).switch().echo();
    ScriptedOrigin::start(script).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_on_its_way_ends_with_the_others() {
    for door in DOORS {
        let only = slow_origin().await;
        let name = only.address().to_string();
        let tunnels = Tunnels::new();
        let group = Group::builder()
            .name("chats")
            .server(crate::server(&only))
            .evacuation(evacuation(&tunnels))
            .build();
        let proxy = mounted(door, &group, &tunnels).await;
        let mut client = proxy.client_sending(UPGRADE_REQUEST).await;
        only.connection(0).await.head().await;
        assert!(group.set_down(&name, true));
        assert_eq!(client.head().await.status, 101);
        client.receives(CLOSE).await;
        // Once it is back, it keeps what it gets.
        assert!(group.set_down(&name, false));
        let mut client = opened(&proxy).await;
        client.receives_nothing_for(WINDOW).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_on_its_way_to_a_server_that_is_lost_ends_with_the_others() {
    for door in DOORS {
        let (first, second) = (slow_origin().await, origin().await);
        let tunnels = Tunnels::new();
        let addresses = Arc::new(Mutex::new(vec![first.address()]));
        let found = addresses.clone();
        let find = move || {
            let found = found.lock().unwrap().clone();
            async move { Ok(found) }
        };
        let group = Group::builder()
            .discover("chat", find, milliseconds(1), |address| {
                Server::to(address.to_string())
            })
            .evacuation(evacuation(&tunnels).window(Duration::ZERO))
            .build();
        let proxy = mounted(door, &group, &tunnels).await;
        let mut client = proxy.client_sending(UPGRADE_REQUEST).await;
        first.connection(0).await.head().await;
        *addresses.lock().unwrap() = vec![second.address()];
        // The request that finds out. The answer before is good for a millisecond.
        tokio::time::sleep(milliseconds(5)).await;
        let _other = opened(&proxy).await;
        assert_eq!(client.head().await.status, 101);
        client.receives(CLOSE).await;
    }
}

/// A way to a server that can be blocked. Connections that are there go on.
struct Gate {
    to: TcpConnect,
    is_shut: Arc<AtomicBool>,
}

impl Connect for Gate {
    type Stream = TcpStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        if self.is_shut.load(Ordering::Relaxed) {
            return Err(ConnectError::Failed {
                name: self.to.name().to_owned(),
                error: std::io::ErrorKind::ConnectionRefused.into(),
            });
        }
        self.to.connect(request).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_ejected_for_too_long() {
    for door in DOORS {
        let (first, second) = (origin().await, origin().await);
        let tunnels = Tunnels::new();
        let is_shut = Arc::new(AtomicBool::new(false));
        let gate = |origin: &ScriptedOrigin, is_shut: Arc<AtomicBool>| {
            let name = origin.address().to_string();
            let to = TcpConnect::to(&name);
            Server::new(name, Gate { to, is_shut }).fail_timeout(Duration::from_secs(3600))
        };
        let group = Group::builder()
            .server(gate(&first, is_shut.clone()))
            .server(gate(&second, Arc::default()))
            .evacuation(evacuation(&tunnels).ejected_longer_than(milliseconds(300)))
            .build();
        let config = UpgradeConfig::default()
            .websocket(WebSocketConfig::default().close_timeout(milliseconds(50)))
            .tunnels(tunnels.clone());
        let proxy = door.with(group.clone(), config).await;
        let maintained = group.clone();
        let maintained = tokio::spawn(async move { maintained.maintain().await });
        let mut reports = tunnels.subscribe(1000);
        let (of_first, mut others) = filled(&proxy, &tunnels, first.address()).await;
        let start = Instant::now();
        is_shut.store(true, Ordering::Relaxed);
        // Of two one at least is for the first, which fails; the second steps in.
        others.push(opened(&proxy).await);
        others.push(opened(&proxy).await);
        let ended = async {
            let mut ends = Vec::new();
            while ends.len() < EACH {
                if let TunnelEvent::Ended(tunnel, traffic) = reports.recv().await {
                    assert_eq!(tunnel.upstream(), Some(&*first.address().to_string()), "{door:?}");
                    ends.push(traffic.map(|traffic| traffic.end()));
                }
            }
            ends
        };
        let clients = async {
            for mut client in of_first {
                client.receives(CLOSE).await;
            }
        };
        let ended = async { tokio::time::timeout(TIMEOUT, ended).await.expect("they end") };
        let ((), ends) = tokio::join!(clients, ended);
        assert_eq!(ends, [Some(End::Evacuated); EACH], "{door:?}");
        assert!(start.elapsed() > milliseconds(300), "{:?}", start.elapsed());
        for mut client in others {
            client.send(b"\x81\x80\0\0\0\0").await;
            client.receives(b"\x88").await;
        }
        maintained.abort();
    }
}

#[tokio::test]
async fn all_that_are_down_get_nothing() {
    let only = origin().await;
    let group = Group::of([crate::server(&only)]);
    let name = only.address().to_string();
    assert!(group.set_down(&name, true));
    let proxy = Door::Gateway.to(group.clone()).await;
    let mut client = proxy.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 502);
    assert_eq!(only.connections(), 0);
    assert!(group.set_down(&name, false));
    opened(&proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_back_gets_its_share_at_a_bounded_rate() {
    for door in DOORS {
        let (first, second) = (origin().await, origin().await);
        let tunnels = Tunnels::new();
        let group = Group::builder()
            .server(crate::server(&first))
            .server(crate::server(&second))
            .evacuation(evacuation(&tunnels).rebalance(NonZeroU32::new(20)))
            .build();
        let proxy = mounted(door, &group, &tunnels).await;
        let name = first.address().to_string();
        assert!(group.set_down(&name, true));
        let mut clients = Vec::new();
        for _ in 0..2 * EACH {
            clients.push(opened(&proxy).await);
        }
        assert!(group.set_down(&name, false));
        let start = Instant::now();
        // The request that finds out gets the one that is back, or the other.
        let _last = opened(&proxy).await;
        let to_end = 2 * EACH - EACH - 1;
        let left = async {
            while tunnels.len() > 2 * EACH + 1 - to_end {
                tokio::time::sleep(milliseconds(2)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, left)
            .await
            .expect("as many end as are too many");
        assert!(start.elapsed() >= milliseconds(300), "{:?}", start.elapsed());
        // No more than the share: the others stay.
        tokio::time::sleep(milliseconds(200)).await;
        assert!(tunnels.len() >= EACH, "{}", tunnels.len());
    }
}
