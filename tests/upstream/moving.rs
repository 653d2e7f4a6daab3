//! When tunnels end because of their servers, and when they do not: in memory and in virtual time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchover::Error;
use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::gateway::{Gateway, GatewayConfig, Outcome};
use switchover::test_util::UPGRADE_REQUEST;
use switchover::tunnel::{End, Tunnels};
use switchover::upstream::{Evacuation, Group, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::{milliseconds, seconds};

/// The answer to `UPGRADE_REQUEST`, whose key is that of RFC 6455, section 1.3.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A server in memory that agrees to all upgrades, unless it refuses connections.
#[derive(Clone, Default)]
struct Origin {
    refuses: Arc<AtomicBool>,
}

impl Connect for Origin {
    type Stream = DuplexStream;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<DuplexStream, ConnectError> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(ConnectError::Failed {
                name: "origin".to_owned(),
                error: std::io::ErrorKind::ConnectionRefused.into(),
            });
        }
        let (ours, mut theirs) = duplex(4096);
        tokio::spawn(async move {
            head(&mut theirs).await;
            theirs.write_all(ANSWER).await.unwrap();
            // Open until the other end closes.
            let _ = theirs.read_to_end(&mut Vec::new()).await;
        });
        Ok(ours)
    }
}

async fn head(stream: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A client with its tunnel.
struct Client {
    _stream: DuplexStream,
    served: JoinHandle<Result<Outcome<DuplexStream>, Error>>,
}

impl Client {
    /// Why its tunnel has ended; none if it goes on.
    async fn end(self) -> Option<End> {
        if !self.served.is_finished() {
            return None;
        }
        match self.served.await.unwrap().unwrap() {
            Outcome::Tunnelled { traffic, .. } => Some(traffic.end()),
            other => panic!("{other:?}"),
        }
    }
}

async fn ends(clients: Vec<Client>) -> Vec<Option<End>> {
    let mut ends = Vec::new();
    for client in clients {
        ends.push(client.end().await);
    }
    ends
}

struct Proxy {
    tunnels: Tunnels,
    group: Group<Origin>,
    gateway: Gateway<Group<Origin>>,
}

impl Proxy {
    fn to(tunnels: &Tunnels, group: Group<Origin>) -> Proxy {
        let config = GatewayConfig::default().tunnels(tunnels.clone());
        Proxy {
            tunnels: tunnels.clone(),
            gateway: Gateway::builder(group.clone()).config(config).build(),
            group,
        }
    }

    async fn answered(&self) -> (String, Client) {
        let (mut client, stream) = duplex(4096);
        let gateway = self.gateway.clone();
        let peer = SocketAddr::from(([192, 0, 2, 1], 5000));
        let served = tokio::spawn(async move { gateway.serve(stream, peer).await });
        client.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
        let head = head(&mut client).await;
        (
            head,
            Client {
                _stream: client,
                served,
            },
        )
    }

    async fn opened(&self) -> Client {
        let (head, client) = self.answered().await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        client
    }

    async fn filled(&self, count: usize) -> Vec<Client> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(self.opened().await);
        }
        clients
    }

    fn at(&self, server: &str) -> usize {
        self.tunnels
            .iter()
            .filter(|tunnel| tunnel.upstream() == Some(server))
            .count()
    }

    /// Keeps the group up to date until this is aborted.
    fn maintained(&self) -> JoinHandle<Infallible> {
        let group = self.group.clone();
        tokio::spawn(async move { group.maintain().await })
    }
}

fn server(name: &str, origin: &Origin) -> Server<Origin> {
    Server::new(name, origin.clone())
}

/// Servers that are found by a name, and what that has for addresses.
fn discovered(
    addresses: &[SocketAddr],
    evacuation: Option<Evacuation>,
) -> (Group<Origin>, Arc<Mutex<Vec<SocketAddr>>>) {
    let addresses = Arc::new(Mutex::new(addresses.to_vec()));
    let found = addresses.clone();
    let find = move || {
        let found = found.lock().unwrap().clone();
        async move { Ok(found) }
    };
    let group = Group::builder()
        .discover("chat", find, seconds(10), |address| {
            Server::new(address.to_string(), Origin::default()).max_tunnels(3)
        })
        .evacuation(evacuation)
        .build();
    (group, addresses)
}

const FIRST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
const SECOND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2);

#[tokio::test(start_paused = true)]
async fn put_back_in_within_the_window_it_keeps_the_rest() {
    let (tunnels, origin) = (Tunnels::new(), Origin::default());
    let group = Group::builder()
        .server(server("a", &origin))
        .evacuation(Evacuation::of(tunnels.clone()).window(seconds(10)))
        .build();
    let proxy = Proxy::to(&tunnels, group);
    let clients = proxy.filled(10).await;
    assert!(proxy.group.set_down("a", true));
    // The turns are at 0, 1, 2 and 3 seconds.
    sleep(milliseconds(3500)).await;
    assert!(proxy.group.set_down("a", false));
    sleep(seconds(20)).await;
    let ends = ends(clients).await;
    let evacuated = ends.iter().filter(|end| **end == Some(End::Evacuated)).count();
    let open = ends.iter().filter(|end| end.is_none()).count();
    assert_eq!((evacuated, open), (4, 6), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn those_that_come_back_one_after_the_other_have_one_rate() {
    let (tunnels, origin) = (Tunnels::new(), Origin::default());
    let group = Group::builder()
        .server(server("a", &origin))
        .server(server("b", &origin))
        .server(server("c", &origin))
        .evacuation(Evacuation::of(tunnels.clone()).rebalance(NonZeroU32::new(10)))
        .build();
    let proxy = Proxy::to(&tunnels, group);
    for down in ["b", "c"] {
        assert!(proxy.group.set_down(down, true));
    }
    let clients = proxy.filled(30).await;
    assert_eq!(proxy.at("a"), 30);
    // Of 30 between two each has 15; of the 15 that stay, each of three has 5.
    for back in ["b", "c"] {
        assert!(proxy.group.set_down(back, false));
    }
    for tenth in 1..=40 {
        sleep(milliseconds(100)).await;
        let ended = 30 - proxy.tunnels.len();
        assert!(
            ended <= tenth + 1,
            "{ended} in {tenth} tenths of a second, at 10 a second"
        );
    }
    let ends = ends(clients).await;
    let rebalanced = ends.iter().filter(|end| **end == Some(End::Rebalanced)).count();
    assert_eq!((rebalanced, proxy.at("a")), (25, 5), "{ends:?}");
}

/// What becomes of the tunnels of a server that fails once and is ejected for about so many seconds, where the limit is 30 seconds.
async fn after_a_failure(ejection: u64, is_maintained: bool, asks_again: bool) -> Vec<Option<End>> {
    let (tunnels, failing, other) = (Tunnels::new(), Origin::default(), Origin::default());
    let group = Group::builder()
        .server(server("a", &failing).fail_timeout(seconds(ejection)))
        .server(server("b", &other))
        .evacuation(
            Evacuation::of(tunnels.clone())
                .window(Duration::ZERO)
                .ejected_longer_than(seconds(30)),
        )
        .build();
    let proxy = Proxy::to(&tunnels, group);
    let maintained = is_maintained.then(|| proxy.maintained());
    // By turns.
    let mut clients = proxy.filled(6).await;
    assert_eq!((proxy.at("a"), proxy.at("b")), (3, 3));
    failing.refuses.store(true, Ordering::Relaxed);
    let mut others = proxy.filled(1).await;
    failing.refuses.store(false, Ordering::Relaxed);
    assert_eq!(proxy.at("b"), 4, "the other steps in");
    sleep(seconds(31)).await;
    if asks_again {
        others.push(proxy.opened().await);
    }
    sleep(seconds(1)).await;
    for client in others {
        assert_eq!(client.end().await, None);
    }
    if let Some(maintained) = maintained {
        maintained.abort();
    }
    // Those of the first are every other one.
    let of_other: Vec<_> = clients
        .iter_mut()
        .enumerate()
        .map(|(at, _)| at % 2 == 1)
        .collect();
    let ends = ends(clients).await;
    let mut of_first = Vec::new();
    for (end, is_of_other) in ends.into_iter().zip(of_other) {
        match is_of_other {
            true => assert_eq!(end, None, "of a server that has not failed"),
            false => of_first.push(end),
        }
    }
    of_first
}

#[tokio::test(start_paused = true)]
async fn one_that_is_ejected_for_too_long_loses_its_tunnels() {
    for (is_maintained, asks_again) in [(true, false), (false, true), (true, true)] {
        let ends = after_a_failure(120, is_maintained, asks_again).await;
        assert_eq!(ends, [Some(End::Evacuated); 3], "{is_maintained} {asks_again}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_whose_ejection_is_over_keeps_its_tunnels() {
    for is_maintained in [false, true] {
        for asks_again in [false, true] {
            let ends = after_a_failure(10, is_maintained, asks_again).await;
            assert_eq!(ends, [None; 3], "{is_maintained} {asks_again}");
        }
    }
}

/// A group whose name is not answered the first time, nor any time after the second.
fn with_a_name_that_is_not_answered(tunnels: &Tunnels, failing: &Origin, other: &Origin) -> Group<Origin> {
    let times = AtomicUsize::new(0);
    let find = move || {
        let time = times.fetch_add(1, Ordering::Relaxed);
        async move {
            match time {
                1 => Ok(vec![]),
                _ => std::future::pending().await,
            }
        }
    };
    Group::builder()
        .server(server("a", failing).fail_timeout(seconds(120)))
        .server(server("b", other))
        .discover("late", find, seconds(10), |address| {
            Server::new(address.to_string(), Origin::default())
        })
        .evacuation(
            Evacuation::of(tunnels.clone())
                .window(Duration::ZERO)
                .ejected_longer_than(seconds(30)),
        )
        .build()
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_not_answered_holds_up_no_tunnels_of_other_servers() {
    let (tunnels, failing, other) = (Tunnels::new(), Origin::default(), Origin::default());
    let proxy = Proxy::to(
        &tunnels,
        with_a_name_that_is_not_answered(&tunnels, &failing, &other),
    );
    // It asks first, and has no answer for ever.
    let maintained = proxy.maintained();
    sleep(milliseconds(1)).await;
    let clients = proxy.filled(2).await;
    failing.refuses.store(true, Ordering::Relaxed);
    let _third = proxy.filled(1).await;
    assert_eq!((proxy.at("a"), proxy.at("b")), (1, 2));
    sleep(seconds(29)).await;
    assert_eq!(proxy.at("a"), 1);
    sleep(seconds(3)).await;
    assert_eq!(ends(clients).await, [Some(End::Evacuated), None]);
    maintained.abort();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_name_has_ended_the_tunnels_of_other_servers() {
    let (tunnels, failing, other) = (Tunnels::new(), Origin::default(), Origin::default());
    let proxy = Proxy::to(
        &tunnels,
        with_a_name_that_is_not_answered(&tunnels, &failing, &other),
    );
    // The first time it is given up.
    assert!(timeout(milliseconds(500), proxy.opened()).await.is_err());
    let clients = proxy.filled(2).await;
    failing.refuses.store(true, Ordering::Relaxed);
    let _third = proxy.filled(1).await;
    sleep(seconds(31)).await;
    assert_eq!(proxy.at("a"), 1, "nobody has looked");
    let (waits, looked) = tokio::join!(timeout(seconds(60), proxy.opened()), async {
        // A request waits for the answer up to a second.
        sleep(milliseconds(500)).await;
        (proxy.at("a"), proxy.at("b"))
    });
    assert_eq!(looked, (0, 2), "the request has not gone on yet");
    let _fourth = waits.expect("it goes on with the servers that there are");
    assert_eq!(ends(clients).await, [Some(End::Evacuated), None]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_not_answered_holds_up_no_other_name() {
    let tunnels = Tunnels::new();
    let answers = || std::future::ready(Ok(vec![FIRST]));
    let never = || std::future::pending::<std::io::Result<Vec<SocketAddr>>>();
    let made = |address: SocketAddr| Server::new(address.to_string(), Origin::default());
    let group = Group::builder()
        .discover("never", never, seconds(10), made)
        .discover("chat", answers, seconds(10), made)
        .build();
    let proxy = Proxy::to(&tunnels, group);
    let maintained = proxy.maintained();
    sleep(milliseconds(1)).await;
    assert_eq!(proxy.group.servers().len(), 1);
    maintained.abort();
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_never_answered_holds_up_no_request_for_long() {
    for has_server in [true, false] {
        let tunnels = Tunnels::new();
        let answers = || std::future::ready(Ok(vec![FIRST]));
        let never = || std::future::pending::<std::io::Result<Vec<SocketAddr>>>();
        let made = |address: SocketAddr| Server::new(address.to_string(), Origin::default());
        let group = Group::builder().discover("never", never, seconds(10), made);
        let group = match has_server {
            true => group.server(Server::new("a", Origin::default())),
            false => group.discover("chat", answers, seconds(10), made),
        };
        let proxy = Proxy::to(&tunnels, group.build());
        let began = Instant::now();
        let _first = proxy.opened().await;
        assert!(began.elapsed() <= milliseconds(1100), "{:?}", began.elapsed());
        // One more may ask for the answer that there was not; then the others go on at once for a second.
        let _second = proxy.opened().await;
        let began = Instant::now();
        let _third = proxy.opened().await;
        assert!(began.elapsed() < milliseconds(100), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_lost_loses_its_tunnels_without_a_request() {
    let tunnels = Tunnels::new();
    let evacuation = Evacuation::of(tunnels.clone()).window(Duration::ZERO);
    let (group, addresses) = discovered(&[FIRST, SECOND], Some(evacuation));
    let proxy = Proxy::to(&tunnels, group);
    let maintained = proxy.maintained();
    let clients = proxy.filled(4).await;
    assert_eq!(proxy.at(&FIRST.to_string()), 2);
    *addresses.lock().unwrap() = vec![SECOND];
    sleep(seconds(12)).await;
    let ends = ends(clients).await;
    let evacuated = Some(End::Evacuated);
    assert_eq!(ends, [evacuated, None, evacuated, None]);
    maintained.abort();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_found_again_has_the_tunnels_that_it_had() {
    let tunnels = Tunnels::new();
    let (group, addresses) = discovered(&[FIRST], None);
    let proxy = Proxy::to(&tunnels, group);
    let maintained = proxy.maintained();
    let clients = proxy.filled(3).await;
    *addresses.lock().unwrap() = vec![];
    sleep(seconds(12)).await;
    let removed = proxy.group.removed_servers();
    assert_eq!((proxy.group.servers().len(), removed.len()), (0, 1));
    assert_eq!(removed[0].tunnels, 3);
    *addresses.lock().unwrap() = vec![FIRST];
    sleep(seconds(12)).await;
    assert!(proxy.group.removed_servers().is_empty());
    let servers = proxy.group.servers();
    assert_eq!(
        (servers[0].tunnels, servers[0].max_tunnels),
        (3, Some(3)),
        "{servers:?}"
    );
    let (head, _) = proxy.answered().await;
    assert!(head.starts_with("HTTP/1.1 503"), "it is full: {head}");
    drop(clients);
    timeout(seconds(60), tunnels.finished()).await.unwrap();
    // One that had none left is as if it had never been there.
    for found in [vec![], vec![FIRST]] {
        *addresses.lock().unwrap() = found;
        sleep(seconds(12)).await;
    }
    assert_eq!(proxy.group.servers()[0].tunnels, 0);
    let _open = proxy.opened().await;
    maintained.abort();
}
