//! A server with many tunnels leaves, and one comes back: its clients are spread over time, all of them find another server, and no other
//! tunnel notices.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use support::descriptors::may_hold;
use switchover::UpgradeConfig;
use switchover::test_util::{ScriptedClient, TIMEOUT, UPGRADE_REQUEST};
use switchover::tunnel::{EndRequest, Tunnels, WebSocketConfig};
use switchover::upstream::{Evacuation, Group, Server};
use switchover::websocket::CloseCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::door::{DOORS, Door, Proxy};
use crate::milliseconds;

/// The answer to `UPGRADE_REQUEST`, whose key is that of RFC 6455, section 1.3.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const CLOSE: &[u8] = b"\x88\x08\x03\xf4moving";

/// A WebSocket server that sends each message back.
struct Origin {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Origin {
    async fn start() -> Origin {
        Origin::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// At an address that nobody listened on until now.
    fn at(address: SocketAddr) -> Origin {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        Origin::on(socket.listen(1024).unwrap())
    }

    fn on(listener: TcpListener) -> Origin {
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                open.spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_buf(&mut head).await {
                            Ok(0) | Err(_) => return,
                            Ok(_) => {}
                        }
                    }
                    stream.write_all(ANSWER).await.unwrap();
                    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
                    while let Some(Ok(message)) = socket.next().await {
                        if !message.is_close() && socket.send(message).await.is_err() {
                            return;
                        }
                    }
                });
                while open.try_join_next().is_some() {}
            }
        });
        Origin {
            address,
            _serving: serving,
        }
    }
}

fn evacuation(tunnels: &Tunnels, window: Duration) -> Evacuation {
    Evacuation::of(tunnels.clone())
        .window(window)
        .close(EndRequest::close(CloseCode::SERVICE_RESTART, "moving").unwrap())
}

async fn mounted(door: Door, group: &Group, tunnels: &Tunnels) -> Proxy {
    let config = UpgradeConfig::default()
        .websocket(WebSocketConfig::default().close_timeout(milliseconds(50)))
        .tunnels(tunnels.clone());
    door.with(group.clone(), config).await
}

async fn opened(proxy: &Proxy) -> ScriptedClient {
    let mut client = proxy.client_sending(UPGRADE_REQUEST).await.timeout(4 * TIMEOUT);
    assert_eq!(client.head().await.status, 101);
    client
}

/// The tunnel works, and brought nothing before this.
async fn is_untouched(client: &mut ScriptedClient) {
    client.send(b"\x81\x82\0\0\0\0hi").await;
    client.receives(b"\x81\x02hi").await;
}

fn at(tunnels: &Tunnels, server: SocketAddr) -> usize {
    let name = server.to_string();
    tunnels
        .iter()
        .filter(|tunnel| tunnel.upstream() == Some(&*name))
        .count()
}

/// A group whose servers are found by a name, and what that has for addresses.
fn discovered(addresses: &[SocketAddr], evacuation: Evacuation) -> (Group, Arc<Mutex<Vec<SocketAddr>>>) {
    let addresses = Arc::new(Mutex::new(addresses.to_vec()));
    let found = addresses.clone();
    let find = move || {
        let found = found.lock().unwrap().clone();
        async move { Ok(found) }
    };
    let group = Group::builder()
        .discover("chat", find, milliseconds(1), |address| {
            Server::to(address.to_string())
        })
        .evacuation(evacuation)
        .build();
    (group, addresses)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_of_a_server_that_discovery_loses_come_back_over_the_window() {
    const EACH: usize = 500;
    const WINDOW: Duration = Duration::from_secs(2);
    // A client, two of the proxy, one of the origin; and those that come back while others leave.
    if !may_hold(4 * 3 * EACH as u64 + 500) {
        return;
    }
    for door in DOORS {
        let origins = [
            Origin::start().await,
            Origin::start().await,
            Origin::start().await,
        ];
        let [first, second, third] = origins.each_ref().map(|origin| origin.address);
        let tunnels = Tunnels::new();
        // In turns, so that each of two has as many.
        let (group, addresses) = discovered(&[first, second], evacuation(&tunnels, WINDOW));
        let proxy = Arc::new(mounted(door, &group, &tunnels).await);
        let (mut of_first, mut others) = (Vec::new(), Vec::new());
        for _ in 0..2 * EACH {
            let client = opened(&proxy).await;
            match at(&tunnels, first) == of_first.len() {
                true => others.push(client),
                false => of_first.push(client),
            }
        }
        assert_eq!((of_first.len(), others.len()), (EACH, EACH), "{door:?}");

        *addresses.lock().unwrap() = vec![second, third];
        let start = Instant::now();
        let mut coming_back = JoinSet::new();
        for mut client in of_first {
            let proxy = proxy.clone();
            coming_back.spawn(async move {
                client.receives(CLOSE).await;
                let after = start.elapsed();
                // As a browser does: it answers, and asks again.
                client.send(b"\x88\x82\0\0\0\0\x03\xf4").await;
                let mut again = opened(&proxy).await;
                is_untouched(&mut again).await;
                (after, again)
            });
        }
        // The answer before is good for a millisecond; the request after that finds out.
        let found_out = async {
            while at(&tunnels, third) == 0 {
                sleep(milliseconds(2)).await;
                others.push(opened(&proxy).await);
            }
        };
        timeout(TIMEOUT, found_out).await.expect("the third is found");
        let (mut times, mut back): (Vec<_>, Vec<_>) = coming_back.join_all().await.into_iter().unzip();
        times.sort();
        for (number, after) in times.iter().enumerate() {
            // None before its turn, whatever else the machine does.
            let turn = WINDOW * number as u32 / EACH as u32;
            assert!(
                *after + milliseconds(50) >= turn,
                "{door:?}: {number} after {after:?}, not {turn:?}"
            );
        }
        let left = async {
            while at(&tunnels, first) > 0 {
                sleep(milliseconds(2)).await;
            }
        };
        timeout(TIMEOUT, left).await.expect("the first has none left");
        assert_eq!(back.len(), EACH, "{door:?}");
        for client in others.iter_mut().chain(&mut back) {
            is_untouched(client).await;
        }
        assert_eq!(
            at(&tunnels, second) + at(&tunnels, third),
            others.len() + EACH,
            "{door:?}"
        );
    }
}

/// How a server comes back.
#[derive(Clone, Copy, Debug)]
enum Return {
    /// It was not found, and is found again.
    Found,
    /// It was ejected, and a request succeeds.
    Sound,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_found_or_sound_again_gets_its_share_at_a_bounded_rate() {
    const ALL: usize = 20;
    for (door, way) in DOORS
        .into_iter()
        .flat_map(|door| [(door, Return::Found), (door, Return::Sound)])
    {
        let second = Origin::start().await;
        // A port that is free, and stays so.
        let reserved = TcpSocket::new_v4().unwrap();
        reserved.set_reuseaddr(true).unwrap();
        reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let first = reserved.local_addr().unwrap();
        let tunnels = Tunnels::new();
        let evacuation = evacuation(&tunnels, milliseconds(400)).rebalance(NonZeroU32::new(20));
        let (group, addresses) = match way {
            Return::Found => discovered(&[second.address], evacuation),
            Return::Sound => {
                let failing = Server::to(first.to_string()).fail_timeout(milliseconds(50));
                let group = Group::builder()
                    .server(failing)
                    .server(Server::to(second.address.to_string()));
                (group.evacuation(evacuation).build(), Arc::default())
            }
        };
        let proxy = mounted(door, &group, &tunnels).await;
        let mut clients = Vec::new();
        for _ in 0..ALL {
            clients.push(opened(&proxy).await);
        }
        assert_eq!(at(&tunnels, second.address), ALL, "{door:?} {way:?}");

        let _first = Origin::at(first);
        addresses.lock().unwrap().push(first);
        let start = Instant::now();
        // Requests until one is answered by the server that is back; the next one sees that.
        let is_back = async {
            while at(&tunnels, first) == 0 {
                sleep(milliseconds(5)).await;
                clients.push(opened(&proxy).await);
            }
        };
        timeout(TIMEOUT, is_back).await.expect("it is back");
        let counted = match way {
            Return::Found => ALL,
            Return::Sound => clients.len() - 1,
        };
        clients.push(opened(&proxy).await);
        // Its share is half of all that were open then. One more or less: those that open at that very time.
        let to_end = counted / 2;
        let ended = || clients.len() - tunnels.len();
        let rebalanced = async {
            while ended() + 1 < to_end {
                sleep(milliseconds(2)).await;
            }
        };
        timeout(TIMEOUT, rebalanced).await.expect("what is too many ends");
        // At 20 a second.
        let least = milliseconds(50) * (to_end as u32 - 2);
        assert!(
            start.elapsed() >= least,
            "{door:?} {way:?}: {:?} for {to_end}",
            start.elapsed()
        );
        // No more than that: the others stay.
        sleep(milliseconds(200)).await;
        assert!(ended() <= to_end + 1, "{door:?} {way:?}: {} of {to_end}", ended());
    }
}
