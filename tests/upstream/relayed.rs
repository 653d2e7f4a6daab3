//! Ordinary requests through a group: each to a server by its rules, connections kept for each, and the next server where
//! nothing can happen twice.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::service::{Destination, Relay, RelayConfig};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::upstream::{Balance, Group, Health, Retry, Server, ServerConnector};
use switchover::{HandshakePolicy, UpgradeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::black_hole::BlackHole;
use crate::door::{DOORS, Door};
use crate::{milliseconds, refusing, seconds, server};

const GET: &str = "GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n";
const POST: &str = "POST /a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const SERVICE_UNAVAILABLE: &str = "HTTP/1.1 503 x\r\nContent-Length: 5\r\n\r\nlater";

/// An origin that gives the same answer to every request of a connection.
fn always(answer: &'static str) -> Script {
    (0..100).fold(Script::new(), |script, _| script.read_head().send(answer))
}

/// The two ways for an ordinary request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Relay,
    ReverseProxy,
}

const WAYS: [Way; 2] = [Way::Relay, Way::ReverseProxy];

struct Proxy {
    address: SocketAddr,
    _serving: JoinSet<()>,
    _door: Option<crate::door::Proxy>,
}

/// A way to servers on which each request has a connection of its own.
struct Unpooled;

impl ServerConnector<TcpConnect> for Unpooled {
    type Stream = TcpStream;

    async fn connect(
        &self,
        server: &TcpConnect,
        request: ConnectRequest<'_>,
    ) -> Result<TcpStream, ConnectError> {
        server.connect(request).await
    }
}

/// A way to servers that takes so long that each of them has said what it says unasked.
struct Slow;

impl ServerConnector<TcpConnect> for Slow {
    type Stream = TcpStream;

    async fn connect(
        &self,
        server: &TcpConnect,
        request: ConnectRequest<'_>,
    ) -> Result<TcpStream, ConnectError> {
        let stream = server.connect(request).await?;
        stream.readable().await.unwrap();
        Ok(stream)
    }
}

/// The same for the first server alone.
#[derive(Default)]
struct SlowAtFirst(AtomicBool);

impl ServerConnector<TcpConnect> for SlowAtFirst {
    type Stream = TcpStream;

    async fn connect(
        &self,
        server: &TcpConnect,
        request: ConnectRequest<'_>,
    ) -> Result<TcpStream, ConnectError> {
        match self.0.swap(true, Ordering::Relaxed) {
            false => Slow.connect(server, request).await,
            true => Unpooled.connect(server, request).await,
        }
    }
}

impl Way {
    async fn to<V: ServerConnector<TcpConnect> + 'static>(self, group: Group<TcpConnect, V>) -> Proxy {
        match self {
            Way::ReverseProxy => {
                let door = Door::Service.to(group).await;
                Proxy {
                    address: door.address,
                    _serving: JoinSet::new(),
                    _door: Some(door),
                }
            }
            Way::Relay => {
                let config = RelayConfig::default().read_timeout(seconds(2));
                let relay = Relay::through(group, config);
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let mut serving = JoinSet::new();
                serving.spawn(async move {
                    let mut connections = JoinSet::new();
                    loop {
                        let (stream, peer) = listener.accept().await.unwrap();
                        connections.spawn(relayed(stream, peer, relay.clone()));
                    }
                });
                Proxy {
                    address,
                    _serving: serving,
                    _door: None,
                }
            }
        }
    }
}

async fn relayed<C: Connect + 'static>(stream: TcpStream, peer: SocketAddr, relay: Relay<C>) {
    let acceptor = Acceptor::new(GatewayConfig::default());
    let mut accepted = acceptor.accept(stream, peer).await;
    while let Ok(Accepted::Ordinary(head, stream)) = accepted {
        let destination = Destination::default();
        let relayed = relay.serve(stream, &head, destination, peer.into()).await;
        let Some(stream) = relayed.ok().and_then(|relayed| relayed.stream) else {
            return;
        };
        accepted = acceptor.resume(stream, peer).await;
    }
}

/// The status and the body of the answer to a request, on a connection of its own.
async fn ask(proxy: &Proxy, request: &str) -> (u16, String) {
    let mut client = ScriptedClient::connect(proxy.address).await.timeout(seconds(10));
    client.send(request).await;
    let (head, body) = client.response().await;
    (head.status.as_u16(), String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn they_take_turns_and_each_server_keeps_its_connection() {
    for way in WAYS {
        let mut origins = Vec::new();
        for _ in 0..3 {
            origins.push(ScriptedOrigin::start(always(OK)).await);
        }
        let weights = [2, 1, 1];
        let group = Group::of(
            origins
                .iter()
                .zip(weights)
                .map(|(origin, weight)| server(origin).weight(weight)),
        );
        let proxy = way.to(group.clone()).await;
        let mut client = ScriptedClient::connect(proxy.address).await;
        for _ in 0..12 {
            client.send(GET).await;
            assert_eq!(client.response().await.0.status, 200);
        }
        let requests: Vec<_> = origins.iter().map(ScriptedOrigin::requests).collect();
        let connections: Vec<_> = origins.iter().map(ScriptedOrigin::connections).collect();
        assert_eq!(requests, [6, 3, 3], "{way:?}");
        assert_eq!(connections, [1, 1, 1], "{way:?}");
        assert!(group.servers().iter().all(|server| server.tunnels == 0));
    }
}

/// Whether their connections are kept or not.
#[tokio::test]
async fn they_are_no_tunnels_unless_they_count() {
    for way in WAYS {
        for (counts, pools) in [(false, true), (false, false), (true, true), (true, false)] {
            let script = |index| match index {
                0 => Script::new().read_head(),
                _ => always(OK),
            };
            let origin = ScriptedOrigin::start_with(script).await;
            let mut group = Group::builder().server(server(&origin).max_tunnels(1));
            if counts {
                group = group.count_requests();
            }
            let group = group.build();
            let proxy = match pools {
                true => way.to(group.clone()).await,
                false => way.to(group.connect_with(Unpooled)).await,
            };
            let mut first = ScriptedClient::connect(proxy.address).await;
            first.send(GET).await;
            origin.connection(0).await.head().await;
            let case = format!("{way:?}, counts: {counts}, pools: {pools}");
            assert_eq!(group.servers()[0].tunnels, usize::from(counts), "{case}");
            let expected = if counts { 503 } else { 200 };
            assert_eq!(ask(&proxy, GET).await.0, expected, "{case}");
        }
    }
}

#[tokio::test]
async fn a_server_that_talks_before_it_is_asked_is_not_asked() {
    for way in WAYS {
        for first in [OK, "220 mail.example ESMTP\r\n", "\0", ""] {
            let script = match first {
                "" => Script::new().close(),
                first => Script::new().send(first),
            };
            let origin = ScriptedOrigin::start(script).await;
            let group = Group::of([server(&origin)]);
            let proxy = way.to(group.connect_with(Slow)).await;
            assert_eq!(ask(&proxy, GET).await.0, 502, "{way:?} {first:?}");
            let connection = origin.connection(0).await;
            if !first.is_empty() {
                connection.end().await;
            }
            assert_eq!(connection.received(), b"", "{way:?} {first:?}");
        }
    }
}

#[tokio::test]
async fn a_key_belongs_to_a_server() {
    for way in WAYS {
        let origins = [
            ScriptedOrigin::start(always(OK)).await,
            ScriptedOrigin::start(always("HTTP/1.1 204 x\r\n\r\n")).await,
        ];
        let group = origins
            .iter()
            .fold(Group::builder(), |group, origin| group.server(server(origin)))
            .balance("hash:header:x-user".parse::<Balance>().unwrap())
            .build();
        let proxy = way.to(group).await;
        let mut statuses = [0; 2];
        for user in 0..30 {
            let request = GET.replacen("Host", &format!("X-User: {user}\r\nHost"), 1);
            let (first, _) = ask(&proxy, &request).await;
            assert_eq!(ask(&proxy, &request).await.0, first, "{way:?}");
            statuses[usize::from(first == 204)] += 1;
        }
        assert!(statuses.iter().all(|count| *count > 5), "{way:?} {statuses:?}");
    }
}

#[tokio::test]
async fn a_server_that_fails_is_followed_by_one_that_does_not() {
    let failing = [
        ("silent", Script::new()),
        ("closed at once", Script::new().close()),
        ("reset at once", Script::new().reset()),
        ("closed", Script::new().read_head().close()),
        ("reset", Script::new().read_head().reset()),
        ("cut short", Script::answering("HTTP/1.1 20").close()),
        ("rubbish", Script::answering("rubbish\r\n\r\n")),
        (
            "an unasked switch",
            Script::answering("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        ),
        (
            "two lengths",
            Script::answering("HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        ),
        ("503", Script::answering(SERVICE_UNAVAILABLE)),
    ];
    for way in WAYS {
        for (kind, script) in &failing {
            let bad = ScriptedOrigin::start(script.clone()).await;
            let good = ScriptedOrigin::start(always(OK)).await;
            let group = Group::builder()
                .server(server(&bad))
                .server(server(&good))
                .retry(Retry::default().statuses([StatusCode::SERVICE_UNAVAILABLE]))
                .build();
            let proxy = way.to(group.clone()).await;
            assert_eq!(ask(&proxy, GET).await, (200, "hi".to_owned()), "{way:?} {kind}");
            assert_eq!(good.requests(), 1, "{way:?} {kind}");
            let status = &group.servers()[0];
            assert!(
                matches!(status.health, Health::Ejected { .. }),
                "{way:?} {kind}: {status:?}"
            );
        }
    }
}

#[tokio::test]
async fn whatever_has_not_been_sent_goes_to_the_next_server_with_its_body() {
    let chunked = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let black_hole = BlackHole::open();
    for way in WAYS {
        for request in [GET, POST, chunked] {
            let script = Script::new().read_head().read(5).send(OK);
            let good = match request {
                GET => ScriptedOrigin::start(always(OK)).await,
                _ => ScriptedOrigin::start(script).await,
            };
            let hole = Server::to(black_hole.address.to_string());
            let group = [refusing().await, hole, server(&good)]
                .into_iter()
                .fold(Group::builder(), |group, server| group.server(server))
                .connect_timeout(milliseconds(200))
                .build();
            let proxy = way.to(group.clone()).await;
            assert_eq!(ask(&proxy, request).await, (200, "hi".to_owned()), "{way:?}");
            let received = good.connection(0).await.received();
            let received = String::from_utf8_lossy(&received);
            assert_eq!(received.contains("hello"), request != GET, "{way:?} {received}");
            let failed: Vec<_> = group.servers().iter().map(|server| server.failed).collect();
            assert_eq!(failed, [1, 1, 0], "{way:?}");
        }
    }
}

#[tokio::test]
async fn what_may_have_had_an_effect_is_not_asked_again() {
    let interim = Script::answering("HTTP/1.1 103 x\r\nLink: </a>\r\n\r\n").pause(milliseconds(50));
    let empty = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let cases = [
        ("a body", Script::new().read_head().read(5).close(), POST, 502),
        ("a POST", Script::new().read_head().close(), empty, 502),
        (
            "a PATCH",
            Script::new().read_head().close(),
            "PATCH / HTTP/1.1\r\nHost: a\r\n\r\n",
            502,
        ),
        (
            "a status that is not listed",
            Script::answering(SERVICE_UNAVAILABLE),
            GET,
            503,
        ),
        ("an interim response", interim.close(), GET, 502),
    ];
    for way in WAYS {
        for (kind, script, request, expected) in &cases {
            let bad = ScriptedOrigin::start(script.clone()).await;
            let good = ScriptedOrigin::start(always(OK)).await;
            let proxy = way.to(Group::of([server(&bad), server(&good)])).await;
            let mut client = ScriptedClient::connect(proxy.address).await;
            client.send(request).await;
            let mut status = client.head().await.status.as_u16();
            let had_interim = status == 103;
            if had_interim {
                status = client.head().await.status.as_u16();
            }
            // hyper's server has no way to send it, so there the client has had nothing.
            let is_kept = *kind == "an interim response" && way == Way::ReverseProxy;
            let (expected, asked) = if is_kept { (200, 1) } else { (*expected, 0) };
            assert_eq!((status, good.requests()), (expected, asked), "{way:?} {kind}");
        }
    }
}

/// RFC 9110, section 9.2.2: what was not sent can have had no effect, whatever it asks for.
#[tokio::test]
async fn what_was_not_sent_goes_to_another_server() {
    let empty = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let upgrade =
        UPGRADE_REQUEST
            .replacen("GET ", "POST ", 1)
            .replacen("Upgrade: websocket", "Upgrade: other", 1);
    let early = [
        ("an answer", Script::new().send(OK)),
        ("rubbish", Script::new().send("220 mail.example ESMTP\r\n")),
        ("its end", Script::new().close()),
    ];
    for (kind, script) in &early {
        for way in WAYS {
            for request in [GET, POST, empty] {
                let bad = ScriptedOrigin::start(script.clone()).await;
                let good = ScriptedOrigin::start(always(OK)).await;
                let group = Group::of([server(&bad), server(&good)]);
                let proxy = way.to(group.connect_with(SlowAtFirst::default())).await;
                let answer = ask(&proxy, request).await;
                assert_eq!(answer, (200, "hi".to_owned()), "{way:?} {kind} {request}");
                assert_eq!(
                    bad.connection(0).await.received(),
                    b"",
                    "{way:?} {kind} {request}"
                );
            }
        }
        for door in DOORS {
            let bad = ScriptedOrigin::start(script.clone()).await;
            let good = ScriptedOrigin::start(always(OK)).await;
            let group = Group::of([server(&bad), server(&good)]);
            let policy = HandshakePolicy::default().allow("other".parse().unwrap());
            let config = UpgradeConfig::default().policy(policy);
            let proxy = door
                .with(group.connect_with(SlowAtFirst::default()), config)
                .await;
            let mut client = proxy.client_sending(&upgrade).await;
            assert_eq!(client.head().await.status, 200, "{door:?} {kind}");
            assert_eq!(bad.connection(0).await.received(), b"", "{door:?} {kind}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_in_the_pool_is_no_fault_of_its_server() {
    for way in WAYS {
        // Closes instead of a second answer, when the second request is there already.
        let script = Script::new().read_head().send(OK).read_head().close();
        let closing = ScriptedOrigin::start(script).await;
        let good = ScriptedOrigin::start(always(OK)).await;
        let group = Group::of([server(&closing).weight(2), server(&good)]);
        let proxy = way.to(group.clone()).await;
        for _ in 0..3 {
            assert_eq!(ask(&proxy, GET).await.0, 200, "{way:?}");
        }
        let status = group.servers();
        assert_eq!(closing.requests(), 2, "{way:?}");
        assert_eq!(
            (status[0].health, status[0].failed),
            (Health::Healthy, 0),
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_in_the_pool_is_followed_by_a_fresh_one_to_the_only_server() {
    for way in WAYS {
        let origin = ScriptedOrigin::start_with(|index| match index {
            0 => Script::new().read_head().send(OK).read_head().close(),
            _ => always(OK),
        })
        .await;
        let group = Group::of([server(&origin)]);
        let proxy = way.to(group.clone()).await;
        for request in [GET, GET, POST] {
            let (status, _) = ask(&proxy, request).await;
            assert_eq!(status, 200, "{way:?} {request:?}");
        }
        let status = &group.servers()[0];
        assert_eq!(
            (origin.requests(), status.failed, status.tunnels),
            (4, 0, 0),
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn where_all_fail_the_last_word_goes_to_the_client() {
    for way in WAYS {
        let unavailable = ScriptedOrigin::start(Script::answering(SERVICE_UNAVAILABLE)).await;
        let retry = Retry::default().statuses([StatusCode::SERVICE_UNAVAILABLE]);
        let group = Group::builder().server(server(&unavailable)).retry(retry).build();
        let proxy = way.to(group).await;
        assert_eq!(ask(&proxy, GET).await, (503, "later".to_owned()), "{way:?}");

        // An answer is better than none.
        let retry = Retry::default().statuses([StatusCode::SERVICE_UNAVAILABLE]);
        let group = Group::builder().server(server(&unavailable)).retry(retry);
        let group = group.server(refusing().await).server(refusing().await).build();
        let proxy = way.to(group.clone()).await;
        assert_eq!(ask(&proxy, GET).await, (503, "later".to_owned()), "{way:?}");
        assert!(group.servers().iter().all(|server| server.tried == 1), "{way:?}");

        let proxy = way.to(Group::of([refusing().await, refusing().await])).await;
        for request in [GET, POST] {
            assert_eq!(ask(&proxy, request).await.0, 502, "{way:?}");
        }
        let proxy = way.to(Group::of(Vec::<Server>::new())).await;
        assert_eq!(ask(&proxy, GET).await.0, 502, "{way:?}");
    }
}

/// It closes the connection that was kept, and is no more.
#[tokio::test]
async fn an_answer_is_better_than_none_behind_a_kept_connection_that_is_closed() {
    for way in WAYS {
        let unavailable = ScriptedOrigin::start(Script::answering(SERVICE_UNAVAILABLE)).await;
        let once = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = once.local_addr().unwrap().to_string();
        let leaving = tokio::spawn(async move {
            let (mut stream, _) = once.accept().await.unwrap();
            drop(once);
            let mut request = [0; 1024];
            assert_ne!(stream.read(&mut request).await.unwrap(), 0);
            stream.write_all(OK.as_bytes()).await.unwrap();
            assert_ne!(stream.read(&mut request).await.unwrap(), 0);
        });
        let retry = Retry::default()
            .statuses([StatusCode::SERVICE_UNAVAILABLE])
            .errors(false);
        let group = Group::builder()
            .server(Server::to(address))
            .server(server(&unavailable))
            .retry(retry)
            .build();
        let proxy = way.to(group).await;
        assert_eq!(ask(&proxy, GET).await, (200, "hi".to_owned()), "{way:?}");
        assert_eq!(ask(&proxy, GET).await, (503, "later".to_owned()), "{way:?}");
        timeout(Duration::from_secs(10), leaving)
            .await
            .expect("it was asked")
            .unwrap();
    }
}

#[tokio::test]
async fn a_client_that_stops_in_its_body_says_nothing_of_the_server() {
    for way in WAYS {
        let origin = ScriptedOrigin::start(Script::new()).await;
        let group = Group::of([server(&origin), refusing().await]);
        let proxy = way.to(group.clone()).await;
        let mut client = ScriptedClient::connect(proxy.address).await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
            .await;
        origin.connection(0).await.receives(b"hel").await;
        client.reset();
        origin.connection(0).await.end().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let status = &group.servers()[0];
        assert_eq!((status.failed, status.health), (0, Health::Healthy), "{way:?}");
    }
}

/// The place is that of a request and not of its answer, however long the client takes for that.
#[tokio::test]
async fn a_request_that_counts_has_its_place_until_the_head_of_its_answer() {
    for way in WAYS {
        let slow = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab";
        let origin = ScriptedOrigin::start(Script::answering(slow)).await;
        let group = Group::builder()
            .server(server(&origin).max_tunnels(1))
            .count_requests()
            .build();
        let proxy = way.to(group.clone()).await;
        let mut client = ScriptedClient::connect(proxy.address).await;
        client.send(GET).await;
        assert_eq!(client.head().await.status, 200);
        client.receives(b"ab").await;
        assert_eq!(group.servers()[0].tunnels, 0, "{way:?}");
    }
}
