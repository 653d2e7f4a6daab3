//! Every limit at its extremes: nothing, the least and the most. Whatever it is, an upgrade and an ordinary request end without a
//! panic and in time, and they work or end in the way that the limit's documentation names.

use std::net::SocketAddr;
use std::time::Duration;

use support::certificates;
use switchover::UpgradeConfig;
use switchover::gateway::{Gateway, GatewayConfig, Outcome};
use switchover::header::TrustedProxies;
use switchover::http1::HeadLimits;
use switchover::proxy_protocol::{ProxyAcceptError, ProxyProtocolAcceptor};
use switchover::service::{Destination, Relay, RelayConfig};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST, switching_protocols};
use switchover::tls::{TlsAcceptError, TlsAcceptor, TlsServerConfig};
use switchover::tunnel::{
    Cap, Drain, MessageLimits, PeerCap, Rate, Schedule, SpliceConfig, TunnelConfig, WebSocketConfig,
};
use switchover::upstream::{Group, Retry, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

const ORDINARY: &str =
    "POST /a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
/// What is said in the tunnel: a text frame and a Close by the client, and the same by the origin.
const TEXT: &[u8] = b"\x81\x82\x00\x00\x00\x00hi";
const ECHO: &[u8] = b"\x81\x02hi";
const CLOSE: &[u8] = b"\x88\x80\x00\x00\x00\x00";
const CLOSED: &[u8] = b"\x88\x00";

/// Everything that has a limit.
struct Settings {
    gateway: GatewayConfig,
    upgrade: UpgradeConfig,
    tunnel: TunnelConfig,
    websocket: Option<WebSocketConfig>,
    relay: RelayConfig,
    server: fn(Server, Amount) -> Server,
    amount: Amount,
    retry: Retry,
    connect_to_one: Option<Duration>,
    schedule: Option<Schedule>,
}

/// An extreme: a length of time or a number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Amount {
    Time(Duration),
    Number(u64),
}

impl Amount {
    fn time(self) -> Duration {
        match self {
            Amount::Time(time) => time,
            Amount::Number(_) => unreachable!("a limit of time"),
        }
    }

    fn number(self) -> u64 {
        match self {
            Amount::Number(number) => number,
            Amount::Time(_) => unreachable!("a number"),
        }
    }

    fn size(self) -> usize {
        usize::try_from(self.number()).unwrap_or(usize::MAX)
    }

    fn u32(self) -> u32 {
        u32::try_from(self.number()).unwrap_or(u32::MAX)
    }
}

/// The extremes of a length of time, and of a number.
const TIMES: [Amount; 3] = [
    Amount::Time(Duration::ZERO),
    Amount::Time(Duration::from_nanos(1)),
    Amount::Time(Duration::MAX),
];
const NUMBERS: [Amount; 3] = [Amount::Number(0), Amount::Number(1), Amount::Number(u64::MAX)];

/// How a request ended, as its client has seen it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    /// As if there were no limit.
    Works,
    /// With this status.
    Status(u16),
    /// Closed without an answer.
    Closed,
    /// The tunnel ended before its ends had closed it, or the answer was cut short.
    Cut,
}

use Seen::{Closed, Cut, Status, Works};

fn set<T: Default>(setting: &mut T, change: impl FnOnce(T) -> T) {
    *setting = change(std::mem::take(setting));
}

type Set = fn(&mut Settings, Amount);

/// What a limit is called, how it is set, and how an upgrade and an ordinary request may end with the two least amounts. With the
/// most they work.
type Row = (&'static str, Set, &'static [Seen], &'static [Seen]);

async fn gateway(settings: Settings) -> (SocketAddr, JoinSet<()>) {
    let Settings {
        gateway,
        upgrade,
        tunnel,
        websocket,
        relay,
        server,
        amount,
        retry,
        connect_to_one,
        schedule,
    } = settings;
    let origin = ScriptedOrigin::start_with(|_| {
        Script::new()
            .read_head()
            .answer(|head| match head.headers.contains_key("upgrade") {
                true => switching_protocols(head),
                false => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_vec(),
            })
            .read(TEXT.len())
            .send(ECHO)
            .read(CLOSE.len())
            .send(CLOSED)
            .close()
    });
    let origin = origin.await;
    let drain = Drain::new();
    if let Some(schedule) = schedule {
        drain.start(schedule);
    }
    // Two, so that what is set for each adds up.
    let one = || server(Server::to(origin.address().to_string()), amount);
    let mut group = Group::builder().server(one()).server(one()).retry(retry);
    if let Some(limit) = connect_to_one {
        group = group.connect_timeout(limit);
    }
    let group = group.build();
    let config = gateway.upgrade(upgrade.tunnel(tunnel).websocket(websocket));
    let relay = Relay::through(group.clone(), relay);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let _origin = origin;
        let mut connections = JoinSet::new();
        let gateway = Gateway::builder(group).config(config).build();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                Some(ended) = connections.join_next() => { let () = ended.expect("no panic"); continue }
            };
            let (gateway, relay) = (gateway.clone(), relay.clone());
            let drain = drain.signal();
            connections.spawn(async move {
                let (stream, peer) = accepted;
                let served = gateway.serve_until(stream, peer, drain).await;
                if let Ok(Outcome::Ordinary(head, stream)) = served {
                    let _ = relay
                        .serve(stream, &head, Destination::default(), peer.into())
                        .await;
                }
            });
        }
    });
    (address, serving)
}

async fn read_head(stream: &mut TcpStream) -> Seen {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Closed,
            Err(_) => return Cut,
        }
    }
    let head = String::from_utf8(head).unwrap();
    Status(head[9..12].parse().unwrap())
}

async fn upgrade(address: SocketAddr) -> Seen {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(UPGRADE_REQUEST.as_bytes()).await;
    match read_head(&mut stream).await {
        Status(101) => {}
        other => return other,
    }
    let _ = stream.write_all(TEXT).await;
    let mut echo = [0; ECHO.len()];
    if stream.read_exact(&mut echo).await.is_err() || echo != ECHO {
        return Cut;
    }
    let _ = stream.write_all(CLOSE).await;
    let _ = stream.shutdown().await;
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest).await {
        Ok(_) if rest == CLOSED => Works,
        _ => Cut,
    }
}

async fn ordinary(address: SocketAddr) -> Seen {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(ORDINARY.as_bytes()).await;
    match read_head(&mut stream).await {
        Status(200) => {}
        other => return other,
    }
    let mut body = String::new();
    match stream.read_to_string(&mut body).await {
        Ok(_) if body == "hi" => Works,
        _ => Cut,
    }
}

fn settings(amount: Amount) -> Settings {
    Settings {
        gateway: GatewayConfig::default(),
        upgrade: UpgradeConfig::default(),
        tunnel: TunnelConfig::default(),
        websocket: None,
        relay: RelayConfig::default(),
        server: |server, _| server,
        amount,
        retry: Retry::default(),
        connect_to_one: None,
        schedule: None,
    }
}

async fn check(rows: &[Row], amounts: [Amount; 3]) {
    for (name, set, upgrades, ordinaries) in rows {
        for amount in amounts {
            let mut settings = settings(amount);
            set(&mut settings, amount);
            let (address, mut serving) = gateway(settings).await;
            let both = async { (upgrade(address).await, ordinary(address).await) };
            let seen = tokio::select! {
                seen = timeout(Duration::from_secs(10), both) => seen,
                ended = serving.join_next() => panic!("{name} of {amount:?}: {ended:?}"),
            };
            let (upgrade, ordinary) = seen.unwrap_or_else(|_| panic!("{name} of {amount:?} hangs"));
            let is_most = amount == amounts[2];
            let (upgrades, ordinaries) = match is_most {
                true => (&[Works][..], &[Works][..]),
                false => (*upgrades, *ordinaries),
            };
            assert!(
                upgrades.contains(&upgrade),
                "{name} of {amount:?}: the upgrade {upgrade:?}"
            );
            assert!(
                ordinaries.contains(&ordinary),
                "{name} of {amount:?}: the request {ordinary:?}"
            );
        }
    }
}

#[tokio::test]
async fn no_time_and_all_the_time_of_a_door() {
    let rows: &[Row] = &[
        (
            "GatewayConfig::header_timeout",
            |s, a| set(&mut s.gateway, |it| it.header_timeout(a.time())),
            &[Works, Status(408), Closed],
            &[Works, Status(408), Closed],
        ),
        (
            "GatewayConfig::keep_alive_timeout",
            |s, a| set(&mut s.gateway, |it| it.keep_alive_timeout(a.time())),
            &[Works],
            &[Works],
        ),
        (
            "GatewayConfig::send_timeout",
            |s, a| set(&mut s.gateway, |it| it.send_timeout(a.time())),
            &[Works, Closed],
            &[Works],
        ),
        (
            "UpgradeConfig::connect_timeout",
            |s, a| set(&mut s.upgrade, |it| it.connect_timeout(a.time())),
            &[Works, Status(504)],
            &[Works],
        ),
        (
            "UpgradeConfig::handshake_timeout",
            |s, a| set(&mut s.upgrade, |it| it.handshake_timeout(a.time())),
            &[Works, Status(504)],
            &[Works],
        ),
        (
            "UpgradeConfig::read_timeout",
            |s, a| set(&mut s.upgrade, |it| it.read_timeout(a.time())),
            &[Works],
            &[Works],
        ),
        (
            "RelayConfig::connect_timeout",
            |s, a| set(&mut s.relay, |it| it.connect_timeout(a.time())),
            &[Works],
            &[Works, Status(504)],
        ),
        (
            "RelayConfig::read_timeout",
            |s, a| set(&mut s.relay, |it| it.read_timeout(a.time())),
            &[Works],
            &[Works, Status(504), Cut],
        ),
        (
            "RelayConfig::send_timeout",
            |s, a| set(&mut s.relay, |it| it.send_timeout(a.time())),
            &[Works],
            &[Works, Closed, Cut],
        ),
        (
            "RelayConfig::request_body_timeout",
            |s, a| set(&mut s.relay, |it| it.request_body_timeout(a.time())),
            &[Works],
            &[Works, Status(408)],
        ),
    ];
    check(rows, TIMES).await;
}

#[tokio::test]
async fn no_time_and_all_the_time_of_a_tunnel() {
    let rows: &[Row] = &[
        (
            "TunnelConfig::idle_timeout",
            |s, a| set(&mut s.tunnel, |it| it.idle_timeout(a.time())),
            &[Cut],
            &[Works],
        ),
        (
            "TunnelConfig::write_timeout",
            |s, a| set(&mut s.tunnel, |it| it.write_timeout(a.time())),
            &[Works, Cut],
            &[Works],
        ),
        (
            "TunnelConfig::half_close_timeout",
            |s, a| set(&mut s.tunnel, |it| it.half_close_timeout(a.time())),
            &[Works, Cut],
            &[Works],
        ),
        (
            "TunnelConfig::lifetime",
            |s, a| set(&mut s.tunnel, |it| it.lifetime(a.time())),
            &[Cut],
            &[Works],
        ),
        (
            "WebSocketConfig::ping_interval",
            |s, a| s.websocket = Some(WebSocketConfig::default().ping_interval(a.time())),
            &[Works, Cut],
            &[Works],
        ),
        (
            "WebSocketConfig::pong_timeout",
            |s, a| {
                s.websocket = Some(
                    WebSocketConfig::default()
                        .ping_interval(Duration::from_secs(1))
                        .pong_timeout(a.time()),
                )
            },
            &[Works],
            &[Works],
        ),
        (
            "WebSocketConfig::close_timeout",
            |s, a| s.websocket = Some(WebSocketConfig::default().close_timeout(a.time())),
            &[Works],
            &[Works],
        ),
        (
            "Schedule::grace",
            |s, a| s.schedule = Some(Schedule::default().grace(a.time())),
            &[Cut, Closed],
            &[Works, Closed],
        ),
        // However long it is, the first has its turn at its beginning.
        (
            "Schedule::spread",
            |s, a| s.schedule = Some(Schedule::default().grace(Duration::MAX).spread(a.time())),
            &[Works],
            &[Works],
        ),
    ];
    check(rows, TIMES).await;
}

#[tokio::test]
async fn no_time_and_all_the_time_of_a_group() {
    let rows: &[Row] = &[
        (
            "Server::fail_timeout",
            |s, _| s.server = |server, a| server.fail_timeout(a.time()),
            &[Works],
            &[Works],
        ),
        (
            "Server::max_ejection",
            |s, _| s.server = |server, a| server.max_ejection(a.time()),
            &[Works],
            &[Works],
        ),
        (
            "Retry::time_limit",
            |s, a| s.retry = Retry::default().time_limit(a.time()),
            &[Works],
            &[Works],
        ),
        (
            "Builder::connect_timeout",
            |s, a| s.connect_to_one = Some(a.time()),
            &[Works, Status(504)],
            &[Works, Status(504)],
        ),
    ];
    check(rows, TIMES).await;
}

#[tokio::test]
async fn none_one_and_any_number() {
    let rows: &[Row] = &[
        (
            "HeadLimits::max_bytes of requests",
            |s, a| {
                set(&mut s.gateway, |it| {
                    it.request_limits(HeadLimits::default().max_bytes(a.size()))
                })
            },
            &[Status(414)],
            &[Status(414)],
        ),
        (
            "HeadLimits::max_fields of requests",
            |s, a| {
                set(&mut s.gateway, |it| {
                    it.request_limits(HeadLimits::default().max_fields(a.size()))
                })
            },
            &[Status(431)],
            &[Status(431)],
        ),
        (
            "HeadLimits::max_bytes of responses",
            |s, a| response_limits(s, HeadLimits::default().max_bytes(a.size())),
            &[Status(502)],
            &[Status(502)],
        ),
        (
            "HeadLimits::max_fields of responses",
            |s, a| response_limits(s, HeadLimits::default().max_fields(a.size())),
            &[Status(502)],
            &[Works, Status(502)],
        ),
        (
            "MessageLimits::max_frame_bytes",
            |s, a| message_limits(s, MessageLimits::default().max_frame_bytes(a.number())),
            &[Cut],
            &[Works],
        ),
        (
            "MessageLimits::max_message_bytes",
            |s, a| message_limits(s, MessageLimits::default().max_message_bytes(a.number())),
            &[Cut],
            &[Works],
        ),
        (
            "MessageLimits::max_fragments",
            |s, a| message_limits(s, MessageLimits::default().max_fragments(a.number())),
            &[Works],
            &[Works],
        ),
        (
            "Rate::per_second",
            |s, a| {
                let rate = Rate::per_second(a.number());
                let limits = MessageLimits::default()
                    .control_frame_rate(rate)
                    .message_rate(rate);
                message_limits(s, limits.byte_rate(rate));
            },
            // A frame has more bytes than a burst of one.
            &[Cut],
            &[Works],
        ),
        (
            "Rate::burst, throttled",
            |s, a| {
                let rate = Rate::per_second(1000).burst(a.number());
                let limits = MessageLimits::default().message_rate(rate).byte_rate(rate);
                message_limits(s, limits.throttle(true));
            },
            &[Works],
            &[Works],
        ),
        (
            "Cap::new",
            |s, a| set(&mut s.upgrade, |it| it.cap(Cap::new(a.size()))),
            &[Works, Status(503)],
            &[Works],
        ),
        (
            "PeerCap::new",
            |s, a| set(&mut s.upgrade, |it| it.peer_cap(PeerCap::new(a.size()))),
            &[Works, Status(429)],
            &[Works],
        ),
        (
            "SpliceConfig::pipe_size",
            |s, a| {
                set(&mut s.tunnel, |it| {
                    it.splice(SpliceConfig::default().pipe_size(a.u32()))
                })
            },
            &[Works],
            &[Works],
        ),
        (
            "SpliceConfig::max_pipes",
            |s, a| {
                set(&mut s.tunnel, |it| {
                    it.splice(SpliceConfig::default().max_pipes(a.u32()))
                })
            },
            &[Works],
            &[Works],
        ),
        (
            "RelayConfig::max_request_body",
            |s, a| set(&mut s.relay, |it| it.max_request_body(a.number())),
            &[Works],
            &[Status(413)],
        ),
        (
            "Server::weight",
            |s, _| s.server = |server, a| server.weight(a.u32()),
            &[Works],
            &[Works],
        ),
        (
            "Server::max_fails",
            |s, _| s.server = |server, a| server.max_fails(a.u32()),
            &[Works],
            &[Works],
        ),
        (
            "Server::max_tunnels",
            |s, _| s.server = |server, a| server.max_tunnels(a.size()),
            &[Works, Status(503)],
            &[Works],
        ),
        (
            "Retry::tries",
            |s, a| s.retry = Retry::default().max_attempts(a.size()),
            &[Works],
            &[Works],
        ),
    ];
    check(rows, NUMBERS).await;
}

fn message_limits(settings: &mut Settings, limits: MessageLimits) {
    settings.websocket = Some(WebSocketConfig::default().limits(limits));
}

fn response_limits(settings: &mut Settings, limits: HeadLimits) {
    set(&mut settings.upgrade, |it| it.response_limits(limits));
    set(&mut settings.relay, |it| it.response_limits(limits));
}

/// A client that connects and leaves without a word has done nothing wrong, however long it might have stayed.
#[tokio::test]
async fn no_time_and_all_the_time_of_what_stands_in_front_of_a_door() {
    let silent = || tokio::io::duplex(64).1;
    let authority = certificates::Authority::new();
    let identity = authority.localhost();
    let tls = TlsServerConfig::from_pem(identity.chain.as_str(), identity.key.as_str()).unwrap();
    for limit in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let accepted = TlsAcceptor::new(tls.clone())
            .handshake_timeout(limit)
            .accept(silent())
            .await;
        assert!(
            matches!(accepted, Err(TlsAcceptError::Closed)),
            "{limit:?}: {:?}",
            accepted.err()
        );
        let balancer: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let acceptor = ProxyProtocolAcceptor::new(TrustedProxies::new(["127.0.0.1".parse().unwrap()]));
        let accepted = acceptor.header_timeout(limit).accept(silent(), balancer).await;
        assert!(
            matches!(accepted, Err(ProxyAcceptError::Closed)),
            "{limit:?}: {:?}",
            accepted.err()
        );
    }
}
