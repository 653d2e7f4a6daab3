//! A client, the program gateway or an axum application, nginx or HAProxy on one side of it, and an origin.

use std::net::{Ipv4Addr, SocketAddr};

use http::response;
use switchover::gateway::GatewayConfig;
use switchover::header::{ForwardedRules, Forwarding, Inbound};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::app::App;
use crate::programs::{Server, has_node, has_python, node, passes, python};
use crate::proxies::{Kind, NGINX_AS_IT_SHOULD_BE, PROXY, Proxy};
use crate::running_gateway::RunningGateway;

/// Where clients connect from, to be distinguished from everyone else.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Where the gateway connects from.
const GATEWAY: Ipv4Addr = Ipv4Addr::LOCALHOST;

const NGINX: Kind = Kind::Nginx(NGINX_AS_IT_SHOULD_BE);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    /// client -> proxy -> ours -> origin
    ProxyFirst,
    /// client -> ours -> proxy -> origin
    ProxyLast,
}

/// Through which door of the crate.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// The program gateway.
    Gateway,
    /// An axum application with a service in it.
    Service,
}

const CHAINS: [(Kind, Order); 5] = [
    (NGINX, Order::ProxyFirst),
    (Kind::Haproxy, Order::ProxyFirst),
    (NGINX, Order::ProxyLast),
    (Kind::Haproxy, Order::ProxyLast),
    // HAProxy speaks HTTP/2 to us.
    (Kind::HaproxyToHttp2, Order::ProxyFirst),
];

/// What stands beside the proxy, running.
enum Ours {
    Gateway(Server),
    Service(App),
}

impl Ours {
    fn start(door: Door, upstream: SocketAddr) -> Ours {
        match door {
            Door::Gateway => Ours::Gateway(Server::gateway_to(upstream)),
            Door::Service => Ours::Service(App::to(upstream)),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Ours::Gateway(server) => server.address,
            Ours::Service(app) => app.address,
        }
    }

    /// The application has been asked for this alone.
    fn was_asked(&self, line: &str) {
        if let Ours::Service(app) = self {
            let asked = app.asked();
            assert!(
                !asked.is_empty() && asked.iter().all(|asked| asked == line),
                "{asked:?}"
            );
        }
    }
}

/// Both programs, running.
struct Chain {
    kind: Kind,
    order: Order,
    door: Door,
    address: SocketAddr,
    ours: Ours,
    _proxy: Proxy,
}

impl Chain {
    fn start(kind: Kind, order: Order, door: Door, origin: SocketAddr) -> Chain {
        let (address, ours, proxy) = match order {
            Order::ProxyFirst => {
                let ours = Ours::start(door, origin);
                let proxy = kind.start(ours.address());
                (proxy.address, ours, proxy)
            }
            Order::ProxyLast => {
                let proxy = kind.start(origin);
                let ours = Ours::start(door, proxy.address);
                (ours.address(), ours, proxy)
            }
        };
        Chain {
            kind,
            order,
            door,
            address,
            ours,
            _proxy: proxy,
        }
    }

    /// Every chain whose programs are here, in front of one origin.
    fn all(origin: SocketAddr) -> impl Iterator<Item = Chain> {
        let here = CHAINS.iter().filter(|(kind, _)| kind.is_here());
        let through_each = |(kind, order): &(Kind, Order)| {
            let (kind, order) = (*kind, *order);
            let doors = [Door::Gateway, Door::Service].into_iter();
            // The gateway speaks HTTP/2 over TLS alone.
            let doors =
                doors.filter(move |door| !matches!((kind, door), (Kind::HaproxyToHttp2, Door::Gateway)));
            doors.map(move |door| (kind, order, door))
        };
        here.flat_map(through_each)
            .map(move |(kind, order, door)| Chain::start(kind, order, door, origin))
    }

    fn name(&self) -> String {
        format!("{}, {:?}, {:?}", self.kind.name(), self.order, self.door)
    }

    async fn client(&self) -> ScriptedClient {
        connect(self.address).await
    }

    /// A client whose upgrade has been agreed to.
    async fn tunnel(&self) -> ScriptedClient {
        let mut client = self.client().await;
        client.send(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101, "{}", self.name());
        client
    }
}

pub(crate) async fn connect(address: SocketAddr) -> ScriptedClient {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind((CLIENT, 0).into())
        .expect("an address of the loopback network");
    let connected = timeout(TIMEOUT, socket.connect(address)).await;
    ScriptedClient::from(connected.expect("a connection in time").expect("a connection"))
}

/// Sends a request and reads its answer.
pub(crate) async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> (response::Parts, String) {
    let mut client = connect(address).await;
    client.send(request).await;
    let (head, body) = client.response().await;
    (head, String::from_utf8(body).expect("a text"))
}

/// Sends a request, reads the head of its answer, and leaves.
pub(crate) async fn ask_head(address: SocketAddr, request: impl AsRef<[u8]>) -> response::Parts {
    let mut client = connect(address).await;
    client.send(request).await;
    client.head().await
}

/// The values of a field at the origin, over all its lines.
fn values(head: &str, name: &str) -> Vec<String> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let of_name = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    of_name
        .flat_map(|(_, value)| value.split(", ").map(str::to_owned))
        .collect()
}

/// Text, binary, 1 MiB, fragments, pings, and every close code from both sides.
#[test]
fn node_client_and_node_server() {
    if has_node() {
        let server = Server::start(&mut node("ws_server.mjs"));
        for chain in Chain::all(server.address) {
            println!("{}", chain.name());
            passes(node("ws_client.mjs").arg(format!("ws://{}/", chain.address)));
            chain.ours.was_asked(match chain.kind {
                Kind::HaproxyToHttp2 => "CONNECT / HTTP/2.0",
                _ => "GET / HTTP/1.1",
            });
        }
    }
}

#[test]
fn python_client_and_python_server() {
    if has_python() {
        let server = Server::start(&mut python("websockets_server.py"));
        for chain in Chain::all(server.address) {
            println!("{}", chain.name());
            passes(python("websockets_client.py").arg(format!("ws://{}/", chain.address)));
        }
    }
}

/// HAProxy passes a client's half-close on, as the gateway does. nginx takes it for the end of both, in order.
#[tokio::test]
async fn a_client_that_ends_its_writes() {
    let script = Script::new()
        .read_head()
        .switch()
        .echo()
        .send("the last word")
        .close();
    let origin = ScriptedOrigin::start(script).await;
    for chain in Chain::all(origin.address()) {
        let mut client = chain.tunnel().await;
        client.send("hello").await;
        client.receives(b"hello").await;
        client.end_writes().await;
        let expected = match chain.kind {
            Kind::Nginx(_) => "",
            _ => "the last word",
        };
        let rest = String::from_utf8(client.rest().await).unwrap();
        assert_eq!(rest, expected, "{}", chain.name());
    }
}

/// Neither proxy passes an origin's half-close on. What it said before that arrives, and nobody is left waiting.
#[tokio::test]
async fn an_origin_that_ends_its_writes() {
    let text = "goodbye ".repeat(10_000);
    let script = Script::new().read_head().switch().send(&*text).end_writes();
    let origin = ScriptedOrigin::start(script).await;
    for (index, chain) in Chain::all(origin.address()).enumerate() {
        let mut client = chain.tunnel().await;
        assert!(client.rest().await == text.as_bytes(), "{}", chain.name());
        client.end_writes().await;
        origin.connection(index).await.end().await;
    }
}

#[tokio::test]
async fn an_upgrade_that_the_origin_declines() {
    let body = "you shall not pass\n".repeat(5_000);
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\nX-Reason: tired\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let origin = ScriptedOrigin::start(Script::answering(answer).close()).await;
    for chain in Chain::all(origin.address()) {
        let (head, received) = ask(chain.address, UPGRADE_REQUEST).await;
        assert_eq!(head.status, 403, "{}", chain.name());
        assert_eq!(head.headers["x-reason"], "tired", "{}", chain.name());
        assert!(received == body, "{}: {} bytes", chain.name(), received.len());
    }
}

/// One connection of a client's carries ordinary requests, with and without a body, and then an upgrade.
#[tokio::test]
async fn ordinary_requests_and_then_an_upgrade() {
    // One request on each connection to the origin, whoever would like to keep it.
    let origin = ScriptedOrigin::start_with(|index| match index % 3 {
        0 => Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nfirst")
            .close(),
        1 => Script::new()
            .read_head()
            .read("a body".len())
            .send("HTTP/1.1 201 Created\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecond")
            .close(),
        _ => Script::websocket_echo(),
    })
    .await;
    for (index, chain) in Chain::all(origin.address()).enumerate() {
        let name = chain.name();
        let mut client = chain.client().await;
        client
            .send("GET /page?x=1 HTTP/1.1\r\nHost: example.com\r\n\r\n")
            .await;
        let (head, body) = client.response().await;
        assert_eq!((head.status.as_u16(), &*body), (200, &b"first"[..]), "{name}");

        client
            .send("POST /form HTTP/1.1\r\nHost: example.com\r\nContent-Length: 6\r\n\r\na body")
            .await;
        let (head, body) = client.response().await;
        assert_eq!((head.status.as_u16(), &*body), (201, &b"second"[..]), "{name}");

        client.send(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101, "{name}");
        client.send("hello").await;
        client.receives(b"hello").await;

        for (offset, line) in [
            "GET /page?x=1 HTTP/1.1",
            "POST /form HTTP/1.1",
            "GET /chat HTTP/1.1",
        ]
        .iter()
        .enumerate()
        {
            let head = origin.connection(3 * index + offset).await.head().await;
            assert!(head.starts_with(line), "{name}: {head}");
            assert_eq!(values(&head, "host"), ["example.com"], "{name}: {head}");
        }
    }
}

/// Behind a proxy the gateway's client is that proxy, and nothing else is believed. In front of one, it is the first in
/// the list.
#[tokio::test]
async fn who_is_named_as_the_client() {
    let origin = ScriptedOrigin::start_with(|index| match index % 2 {
        0 => Script::answering("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").close(),
        _ => Script::websocket_echo(),
    })
    .await;
    let claim = "Host: example.com\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n";
    for (index, chain) in Chain::all(origin.address()).enumerate() {
        let expected: Vec<String> = match chain.order {
            Order::ProxyFirst => vec![PROXY.to_string()],
            Order::ProxyLast => vec![CLIENT.to_string(), GATEWAY.to_string()],
        };
        ask(chain.address, format!("GET / HTTP/1.1\r\n{claim}\r\n")).await;
        ask_head(
            chain.address,
            UPGRADE_REQUEST.replacen("Host: example.com\r\n", claim, 1),
        )
        .await;
        for offset in 0..2 {
            let head = origin.connection(2 * index + offset).await.head().await;
            assert_eq!(
                values(&head, "x-forwarded-for"),
                expected,
                "{}: {head}",
                chain.name()
            );
            assert!(!head.contains("6.6.6.6"), "{}: {head}", chain.name());
            assert_eq!(values(&head, "x-forwarded-proto"), ["http"], "{}", chain.name());
        }
    }
}

/// A gateway that is configured to trust the proxies in front of it: the list grows by one at each of them.
#[tokio::test]
async fn a_gateway_that_trusts_the_proxy_in_front() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let rules = ForwardedRules::default().inbound(Inbound::Append);
    let config = GatewayConfig::default().forwarding(Forwarding::default().forwarded(rules));
    let gateway = RunningGateway::with(config, &origin).await;
    for (index, kind) in [NGINX, Kind::Haproxy]
        .into_iter()
        .filter(|kind| kind.is_here())
        .enumerate()
    {
        let proxy = kind.start(gateway.address());
        assert_eq!(ask_head(proxy.address, UPGRADE_REQUEST).await.status, 101);
        let head = origin.connection(index).await.head().await;
        let expected = [CLIENT.to_string(), PROXY.to_string()];
        assert_eq!(values(&head, "x-forwarded-for"), expected, "{kind:?}: {head}");
    }
}
