//! Ordinary requests beside upgrades: what a client and an origin see of `Relay` between them, on loopback sockets.

use std::net::SocketAddr;
use std::time::Duration;

use switchover::connect::TcpConnect;
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::header::rules::{HeaderRules, Statuses};
use switchover::header::{Forwarding, Hop};
use switchover::service::{Destination, Relay, RelayConfig};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tunnel::{Drain, Rewind};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const GET: &str = "GET /a?b=%20 HTTP/1.1\r\nHost: example.com\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

struct RunningRelay {
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

impl RunningRelay {
    async fn to(origin: &ScriptedOrigin) -> Self {
        Self::with(RelayConfig::default(), origin).await
    }

    async fn with(config: RelayConfig, origin: &ScriptedOrigin) -> Self {
        Self::of(Relay::new(config), origin).await
    }

    async fn of(relay: Relay, origin: &ScriptedOrigin) -> Self {
        let upstream = origin.address();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                serving.spawn(serve(stream, peer, relay.clone(), upstream));
            }
        });
        RunningRelay {
            address,
            _accepting: accepting,
        }
    }

    async fn client(&self) -> ScriptedClient {
        ScriptedClient::connect(self.address).await
    }

    async fn client_sending(&self, bytes: impl AsRef<[u8]>) -> ScriptedClient {
        let mut client = self.client().await;
        client.send(bytes).await;
        client
    }
}

/// The loop that the documentation of `service` shows.
async fn serve(stream: TcpStream, peer: SocketAddr, relay: Relay, upstream: SocketAddr) {
    let config = GatewayConfig::default().header_timeout(Duration::from_millis(500));
    let acceptor = Acceptor::new(config.keep_alive_timeout(Duration::from_secs(1)));
    let mut accepted = acceptor.accept(stream, peer).await;
    loop {
        match accepted {
            Ok(Accepted::Upgrade(incoming)) => {
                let _ = incoming.proxy(&TcpConnect::to(upstream.to_string())).await;
                return;
            }
            Ok(Accepted::Ordinary(head, stream)) => {
                let destination = Destination::new(upstream.to_string().parse().unwrap());
                let Ok(relayed) = relay.serve(stream, &head, destination, peer.into()).await else {
                    return;
                };
                let Some(stream) = relayed.stream else { return };
                accepted = acceptor.resume(stream, peer).await;
            }
            _ => return,
        }
    }
}

/// An origin that gives the same answer to every request of a connection.
fn always(answer: &'static str) -> Script {
    (0..8).fold(Script::new(), |script, _| script.read_head().send(answer))
}

#[tokio::test]
async fn requests_share_both_connections() {
    let origin = ScriptedOrigin::start(always(OK)).await;
    let relay = RunningRelay::to(&origin).await;
    let mut client = relay.client_sending(GET).await;
    for _ in 0..3 {
        let (head, body) = client.response().await;
        assert_eq!((head.status.as_u16(), body.as_slice()), (200, &b"hi"[..]));
        assert!(!head.headers.contains_key("connection"), "{head:?}");
        client.send(GET).await;
    }
    client.response().await;
    assert_eq!(origin.connections(), 1);
    assert_eq!(origin.requests(), 4);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let origin = ScriptedOrigin::start(always(OK)).await;
    let relay = RunningRelay::to(&origin).await;
    let mut client = relay.client_sending(format!("{GET}{GET}{GET}")).await;
    for _ in 0..3 {
        assert_eq!(client.response().await.0.status, 200);
    }
}

/// RFC 9112, section 3.2.2, and RFC 3986, section 6.2.3.
#[tokio::test]
async fn absolute_targets_go_up_as_paths() {
    for (line, sent) in [
        ("GET http://a.example?x=1", "GET /?x=1"),
        ("GET http://a.example", "GET /"),
        ("GET HTTP://a.example/?x=1", "GET /?x=1"),
        ("POST https://a.example?", "POST /?"),
        ("OPTIONS http://a.example", "OPTIONS *"),
        ("OPTIONS http://a.example/", "OPTIONS /"),
        ("OPTIONS http://a.example?x", "OPTIONS /?x"),
        ("OPTIONS *", "OPTIONS *"),
    ] {
        let origin = ScriptedOrigin::start(always(OK)).await;
        let relay = RunningRelay::to(&origin).await;
        let request = format!("{line} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        let mut client = relay.client_sending(request).await;
        assert_eq!(client.response().await.0.status, 200, "{line}");
        let head = origin.connection(0).await.head().await;
        assert!(
            head.starts_with(&format!("{sent} HTTP/1.1\r\n")),
            "{line}: {head}"
        );
        assert!(head.contains("\r\nHost: a.example\r\n"), "{line}: {head}");
    }
}

#[tokio::test]
async fn a_trace_is_refused_unless_it_is_allowed() {
    let origin = ScriptedOrigin::start(always(OK)).await;
    let trace = "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n";
    let relay = RunningRelay::to(&origin).await;
    let mut client = relay.client_sending(trace).await;
    let (head, body) = client.response().await;
    assert_eq!(head.status, 405);
    assert!(
        !head.headers["allow"].to_str().unwrap().contains("TRACE"),
        "{head:?}"
    );
    assert!(String::from_utf8(body).unwrap().contains("allow_trace"));
    client.ends().await;
    assert_eq!(origin.connections(), 0);

    let relay = RunningRelay::with(RelayConfig::default().allow_trace(true), &origin).await;
    let mut client = relay.client_sending(trace).await;
    assert_eq!(client.response().await.0.status, 200);
    let head = origin.connection(0).await.head().await;
    assert!(head.starts_with("TRACE / HTTP/1.1\r\n"), "{head}");
    // The case of a method counts (RFC 9110, section 9.1): this is another one, which an origin may know.
    let relay = RunningRelay::to(&origin).await;
    let mut client = relay.client_sending("trace / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.0.status, 200);
}

#[tokio::test]
async fn fields_by_rules_and_by_those_of_the_route() {
    let rules = |value: &str| {
        HeaderRules::default()
            .set_on_request("X-Rule", value)
            .and_then(|rules| rules.set_on_request("X-Forwarded-For", "$proxy_add_x_forwarded_for"))
            .and_then(|rules| rules.add_on_response("X-Host", "$host", Statuses::Usual))
            .unwrap()
            .host("$proxy_host".parse().unwrap())
            .upstream("backend:1")
    };
    let origin = ScriptedOrigin::start(always(OK)).await;
    let forwarding = Forwarding::default().header_rules(rules("$request_uri"));
    let relay = RunningRelay::of(Relay::new(RelayConfig::default()).forwarding(forwarding), &origin).await;
    let request = "GET /a?b HTTP/1.1\r\nHost: A.example:80\r\nX-Forwarded-For: 6.6.6.6\r\nX-Rule: mine\r\n\
                   X_Rule: mine\r\nConnection: x-rule\r\n\r\n";
    let (head, _) = relay.client_sending(request).await.response().await;
    assert_eq!(head.headers["x-host"], "a.example");
    let reported = origin.connection(0).await.head().await;
    assert_eq!(
        reported,
        "GET /a?b HTTP/1.1\r\nHost: backend:1\r\nX-Forwarded-For: 6.6.6.6, 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: A.example:80\r\nX-Real-IP: 127.0.0.1\r\n\
         Forwarded: for=127.0.0.1;host=\"A.example:80\";proto=http\r\nVia: 1.1 switchover\r\nX-Rule: /a?b\r\n\r\n"
    );

    let head = switchover::http1::parse_request(request.as_bytes(), &Default::default());
    let Ok(switchover::http1::Parsed::Complete { parts, .. }) = head else {
        panic!("{head:?}")
    };
    let (client, server) = tokio::io::duplex(64 * 1024);
    let relay = Relay::new(RelayConfig::default())
        .forwarding(Forwarding::default().header_rules(rules("the relay's")));
    let destination = Destination::new(origin.address().to_string().parse().unwrap());
    let destination = destination.header_rules(rules("the route's"));
    let stream = Rewind::new(server, request.as_bytes().to_vec().into());
    relay
        .serve(stream, &parts.into(), destination, Hop::unknown())
        .await
        .unwrap();
    drop(client);
    let reported = origin.connection(1).await.head().await;
    assert!(reported.contains("\r\nX-Rule: the route's\r\n"), "{reported}");
}

#[tokio::test]
async fn the_header_rules_are_those_of_an_upgrade() {
    let origin = ScriptedOrigin::start(Script::answering(
        "HTTP/1.1 200 OK\r\nConnection: x-secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: Basic\r\n\
         X-Kept: 1\r\nContent-Length: 0\r\n\r\n",
    ))
    .await;
    let relay = RunningRelay::to(&origin).await;
    let request = "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: X-Forwarded-For, cookie, x-mine\r\nX-Mine: 1\r\n\
                   Cookie: a\r\nX-Forwarded-For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nUpgrade: websocket\r\n\
                   Proxy-Authorization: x\r\n\r\n";
    let mut client = relay.client_sending(request).await;
    let (head, _) = client.response().await;
    let names: Vec<&str> = head.headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-kept", "content-length", "date"]);

    let upstream = origin.connection(0).await.head().await.to_lowercase();
    for there in [
        "cookie: a\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        "via: 1.1 switchover\r\n",
    ] {
        assert!(upstream.contains(there), "{there:?} in {upstream}");
    }
    for gone in [
        "x-mine",
        "6.6.6.6",
        "upgrade",
        "proxy-authorization",
        "connection",
    ] {
        assert!(!upstream.contains(gone), "{gone:?} in {upstream}");
    }
}

#[tokio::test]
async fn an_upgrade_later_on_the_same_connection() {
    let origin = ScriptedOrigin::start_with(|index| match index {
        0 => always(OK),
        _ => Script::websocket_echo(),
    })
    .await;
    let relay = RunningRelay::to(&origin).await;
    let mut client = relay.client_sending(format!("{GET}{UPGRADE_REQUEST}first")).await;
    assert_eq!(client.response().await.0.status, 200);
    assert_eq!(client.head().await.status, 101);
    client.receives(b"first").await;
    client.send("second").await;
    client.receives(b"second").await;
}

#[tokio::test]
async fn an_upgrade_that_is_not_allowed_ends_the_connection_with_its_answer() {
    for upgrade in ["foo", "h2c", "H2C, TLS/1.0"] {
        let origin = ScriptedOrigin::start(always(OK)).await;
        let relay = RunningRelay::to(&origin).await;
        let request =
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {upgrade}\r\n\r\n");
        let mut client = relay.client_sending(format!("{request}{GET}")).await;
        let (head, _) = client.response().await;
        assert_eq!(
            (head.status.as_u16(), &head.headers["connection"]),
            (200, &"close".parse().unwrap())
        );
        client.ends().await;
        assert_eq!(origin.requests(), 1, "{upgrade}");
        let upstream = origin.connection(0).await.head().await.to_lowercase();
        assert!(!upstream.contains("upgrade"), "{upstream}");
    }
}

#[tokio::test]
async fn a_bad_request_after_a_good_one_is_refused_as_the_first_would_be() {
    for bad in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ] {
        let origin = ScriptedOrigin::start(always(OK)).await;
        let relay = RunningRelay::to(&origin).await;
        let mut client = relay.client_sending(format!("{GET}{bad}")).await;
        assert_eq!(client.response().await.0.status, 200);
        assert_eq!(client.response().await.0.status, 400, "{bad:?}");
        client.ends().await;
        assert_eq!(origin.requests(), 1);
    }
}

#[tokio::test]
async fn bodies_go_both_ways_and_in_between_heads() {
    let origin = ScriptedOrigin::start(
        Script::new()
            .read_head()
            .read(300_000)
            .send(OK)
            .read_head()
            .send("HTTP/1.1 204 No Content\r\n\r\n"),
    )
    .await;
    let relay = RunningRelay::to(&origin).await;
    let body = "x".repeat(300_000);
    let post = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = relay.client_sending(format!("{post}{GET}")).await;
    assert_eq!(client.response().await.0.status, 200);
    assert_eq!(client.response().await.0.status, 204);
}

#[tokio::test]
async fn answers_that_cannot_be_relayed_are_a_502_and_the_next_request_is_served() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "",
    ] {
        let origin = ScriptedOrigin::start_with(move |index| match index {
            0 => Script::answering(answer).close(),
            _ => always(OK),
        })
        .await;
        let relay = RunningRelay::to(&origin).await;
        let mut client = relay.client_sending(GET).await;
        assert_eq!(client.response().await.0.status, 502, "{answer:?}");
        client.send(GET).await;
        assert_eq!(client.response().await.0.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_never_ends_as_complete() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\nhi",
    ] {
        for version in ["1.0", "1.1"] {
            let origin =
                ScriptedOrigin::start(Script::answering(answer).pause(Duration::from_millis(50)).close())
                    .await;
            let relay = RunningRelay::to(&origin).await;
            let mut client = relay
                .client_sending(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"))
                .await;
            assert_eq!(client.head().await.status, 200);
            let rest = client.rest_until_reset().await;
            assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
        }
    }
}

/// A body where there is none, a line end too much: the answer is whole, and what follows it belongs to no other.
#[tokio::test]
async fn bytes_behind_an_answer_spoil_neither_it_nor_the_next_one() {
    const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (request, answer, status, body) in [
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, ""),
        (
            HEAD,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            "",
        ),
        (GET, "HTTP/1.1 204 No Content\r\n\r\nnothing", 204, ""),
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\r\n",
            200,
            "hello",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\r\n",
            200,
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
            200,
            "hello",
        ),
    ] {
        let origin = ScriptedOrigin::start_with(move |index| match index {
            0 => Script::answering(answer).read_head(),
            _ => always(OK),
        })
        .await;
        let relay = RunningRelay::to(&origin).await;
        let mut client = relay.client_sending(request).await;
        let (head, received) = match request {
            HEAD => (client.head().await, Vec::new()),
            _ => client.response().await,
        };
        assert_eq!(
            (head.status.as_u16(), &*received),
            (status, body.as_bytes()),
            "{answer:?}"
        );
        client.send(GET).await;
        assert_eq!(client.response().await.1, b"hi", "{answer:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_talks_in_the_pool_is_not_the_next_answer() {
    let origin = ScriptedOrigin::start_with(|index| match index {
        0 => Script::answering(OK)
            .pause(Duration::from_millis(50))
            .send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"),
        _ => always(OK),
    })
    .await;
    let relay = RunningRelay::to(&origin).await;
    let mut client = relay.client_sending(GET).await;
    assert_eq!(client.response().await.1, b"hi");
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.send(GET).await;
    assert_eq!(client.response().await.1, b"hi");
}

/// Closes instead of a second answer, when the second request is there already.
/// RFC 9110, section 8.6, and RFC 9112, section 6.1: a 204 announces nothing. What a server that does sends next may be content.
#[tokio::test]
async fn a_204_that_announces_content_is_the_last_of_its_connection() {
    for (fields, connections) in [
        ("", 1),
        ("Content-Length: 0\r\n", 1),
        ("Content-Length: 5\r\n", 3),
        ("Transfer-Encoding: chunked\r\n", 3),
    ] {
        let answer = format!("HTTP/1.1 204 No Content\r\n{fields}\r\n");
        let origin = ScriptedOrigin::start(always(answer.leak())).await;
        let relay = RunningRelay::to(&origin).await;
        let mut client = relay.client_sending(GET).await;
        for _ in 0..2 {
            let (head, _) = client.response().await;
            assert_eq!(head.status, 204, "{fields:?}");
            assert!(!head.headers.contains_key("content-length"), "{head:?}");
            client.send(GET).await;
        }
        client.response().await;
        assert_eq!(origin.connections(), connections, "{fields:?}");
    }
}

/// An upstream that has answered before it has read the body may take the body for its next request (CL.0, 0.CL).
#[tokio::test]
async fn a_connection_whose_request_was_answered_before_it_was_whole_is_not_used_again() {
    let origin = ScriptedOrigin::start(always(OK)).await;
    let relay = RunningRelay::to(&origin).await;
    for (rest, connections) in [
        ("Content-Length: 5\r\n\r\nhello", 1),
        ("Content-Length: 5\r\n\r\nhe", 1),
        ("Content-Length: 5\r\n\r\nhello", 2),
        ("Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", 2),
        ("X: 1\r\n\r\n", 3),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}");
        let mut client = relay.client_sending(request).await;
        assert_eq!(client.response().await.0.status, 200, "{rest:?}");
        assert_eq!(origin.connections(), connections, "{rest:?}");
    }
}

/// RFC 9112, sections 9.3 and 9.6: who is answered before the request is whole learns that nothing behind it is read.
#[tokio::test]
async fn an_answer_before_the_request_is_whole_says_that_it_is_the_last() {
    const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    for (fields, body, goes_on) in [
        ("Content-Length: 5", "", false),
        ("Content-Length: 5", "hell", false),
        ("Content-Length: 5", "hello", true),
        ("Transfer-Encoding: chunked", "", false),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n", false),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", true),
        ("X: 1", "", true),
    ] {
        let origin = ScriptedOrigin::start(Script::answering(REFUSED)).await;
        let relay = RunningRelay::to(&origin).await;
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}");
        let mut client = relay.client_sending(request).await;
        let (head, received) = client.response().await;
        assert_eq!((head.status.as_u16(), &received[..]), (403, &b"no"[..]));
        let connection = head.headers.get("connection").map(|value| value.as_bytes());
        let expected = (!goes_on).then_some(&b"close"[..]);
        assert_eq!(connection, expected, "{fields:?} {body:?}");
        match goes_on {
            true => client.receives_nothing_for(Duration::from_millis(20)).await,
            false => client.ends().await,
        }
    }
}

fn closing_when_asked_again() -> Script {
    Script::new().read_head().send(OK).read_head().close()
}

#[tokio::test]
async fn what_a_kept_connection_loses_is_asked_once_more_where_it_may_be() {
    const EMPTY_POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    const PUT: &str = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    const DELETE: &str = "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (request, status, connections) in [
        (GET, 200, 2),
        (DELETE, 200, 2),
        (EMPTY_POST, 502, 1),
        (PUT, 502, 1),
    ] {
        let origin = ScriptedOrigin::start_with(|index| match index {
            0 => closing_when_asked_again(),
            _ => always(OK),
        })
        .await;
        let relay = RunningRelay::to(&origin).await;
        let mut client = relay.client_sending(GET).await;
        assert_eq!(client.response().await.0.status, 200);
        client.send(request).await;
        assert_eq!(client.response().await.0.status, status, "{request:?}");
        assert_eq!(origin.connections(), connections, "{request:?}");
    }
}

#[tokio::test]
async fn a_fresh_connection_that_is_lost_too_is_a_502() {
    let origin = ScriptedOrigin::start_with(|index| match index {
        0 => closing_when_asked_again(),
        _ => Script::new().read_head().close(),
    })
    .await;
    let relay = RunningRelay::to(&origin).await;
    let mut client = relay.client_sending(GET).await;
    assert_eq!(client.response().await.0.status, 200);
    client.send(GET).await;
    assert_eq!(client.response().await.0.status, 502);
    assert_eq!((origin.connections(), origin.requests()), (2, 3));
}

#[tokio::test]
async fn interim_responses_pass_on_at_once_except_to_http_1_0() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
    let script = move || {
        Script::new()
            .read_head()
            .send(hint)
            .pause(Duration::from_secs(1))
            .send(OK)
    };
    let origin = ScriptedOrigin::start_with(move |_| script()).await;
    let relay = RunningRelay::to(&origin).await;

    let mut client = relay.client_sending(GET).await;
    let asked = std::time::Instant::now();
    let interim = client.head().await;
    assert_eq!((interim.status.as_u16(), interim.headers.len()), (103, 1));
    assert!(
        asked.elapsed() < Duration::from_millis(800),
        "it did not wait for the answer"
    );
    assert_eq!(client.response().await.0.status, 200);

    let relay = RunningRelay::to(&origin).await;
    let mut old = relay.client_sending("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.head().await.status, 200);
    let head = origin.connection(1).await.head().await;
    assert!(head.contains("\r\nVia: 1.0 switchover\r\n"), "{head}");
}

#[tokio::test]
async fn a_client_of_http_1_0_learns_whether_its_connection_goes_on() {
    let origin = ScriptedOrigin::start(always(OK)).await;
    let relay = RunningRelay::to(&origin).await;
    for options in ["", "Connection: close\r\n"] {
        let mut client = relay
            .client_sending(format!("GET / HTTP/1.0\r\n{options}\r\n"))
            .await;
        assert_eq!(client.response().await.0.headers["connection"], "close");
        client.ends().await;
    }
    let mut client = relay.client().await;
    for _ in 0..2 {
        client
            .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .await;
        assert_ne!(
            client.response().await.0.headers.get("connection").unwrap(),
            "close"
        );
    }
}

#[tokio::test]
async fn trailers_pass_to_a_client_that_takes_them() {
    let origin = ScriptedOrigin::start(Script::answering(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n",
    ))
    .await;
    let relay = RunningRelay::to(&origin).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, close\r\nTE: trailers\r\n\r\n";
    let mut client = relay.client_sending(request).await;
    client.head().await;
    let rest = String::from_utf8(client.rest().await).unwrap().to_lowercase();
    assert!(rest.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{rest}");
}

#[tokio::test]
async fn trailers_that_would_change_a_message_end_here() {
    let forbidden = "Content-Length: 5\r\nAuthorization: x\r\nX-Forwarded-For: 6.6.6.6\r\nSet-Cookie: a=b\r\nConnection: x\r\n";
    let names = "X-Sum, Content-Length, Authorization, X-Forwarded-For, Set-Cookie, Connection";
    let message = format!(
        "Trailer: {names}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{forbidden}X-Sum: 7\r\n\r\n"
    );
    let answer = format!("HTTP/1.1 200 OK\r\n{message}");
    let origin = ScriptedOrigin::start(
        Script::new()
            .read_head()
            .read("2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n".len())
            .send(answer),
    )
    .await;
    let relay = RunningRelay::to(&origin).await;
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: TE, close\r\nTE: trailers\r\n{message}");
    let mut client = relay.client_sending(request).await;
    client.head().await;
    let answered = String::from_utf8(client.rest().await).unwrap().to_lowercase();
    assert!(answered.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{answered}");
    let received = String::from_utf8(origin.connection(0).await.received())
        .unwrap()
        .to_lowercase();
    assert!(received.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{received}");
}

#[tokio::test]
async fn an_upstream_that_is_silent_is_a_504_and_one_that_is_gone_a_502() {
    let origin = ScriptedOrigin::start(Script::new().read_head().pause(Duration::from_secs(9))).await;
    let config = RelayConfig::default().read_timeout(Duration::from_millis(200));
    let relay = RunningRelay::with(config, &origin).await;
    let mut client = relay.client_sending(GET).await;
    assert_eq!(client.response().await.0.status, 504);

    let origin = ScriptedOrigin::start(Script::new()).await;
    let relay = RunningRelay::to(&origin).await;
    drop(origin);
    let mut client = relay.client_sending(GET).await;
    assert_eq!(client.response().await.0.status, 502);
}

#[tokio::test]
async fn a_client_that_ends_its_writes_still_gets_its_answer() {
    let origin = ScriptedOrigin::start(
        Script::new()
            .read_head()
            .pause(Duration::from_millis(200))
            .send(OK),
    )
    .await;
    let relay = RunningRelay::to(&origin).await;
    let mut client = relay.client_sending(GET).await;
    client.end_writes().await;
    assert_eq!(client.response().await.1, b"hi");
    client.ends().await;
}

#[tokio::test]
async fn a_client_that_ends_its_writes_has_left_where_that_is_said() {
    let leaves = || RelayConfig::default().allow_early_half_close(false);
    // Before the head of the answer, and within its body.
    for script in [
        Script::new().read_head(),
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    ] {
        let origin = ScriptedOrigin::start(script).await;
        let relay = RunningRelay::with(leaves(), &origin).await;
        let mut client = relay.client_sending(GET).await;
        let connection = origin.connection(0).await;
        connection.head().await;
        client.end_writes().await;
        connection.end().await;
    }
    // What has come whole from the upstream arrives.
    let origin = ScriptedOrigin::start(Script::new().read_head().send(OK)).await;
    let relay = RunningRelay::with(leaves(), &origin).await;
    let mut client = relay.client_sending(GET).await;
    assert_eq!(client.response().await.1, b"hi");
    client.end_writes().await;
    client.ends().await;
}

#[tokio::test]
async fn a_request_body_that_stops_or_is_malformed_is_reported_to_the_client() {
    let cases = [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", 408),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n",
            400,
        ),
    ];
    for (request, status) in cases {
        let origin = ScriptedOrigin::start(Script::new().read_head().read(10).send(OK)).await;
        let config = RelayConfig::default().read_timeout(Duration::from_millis(200));
        let relay = RunningRelay::with(config, &origin).await;
        let mut client = relay.client_sending(request).await;
        assert_eq!(client.response().await.0.status, status, "{request:?}");
        origin.connection(0).await.end().await;
    }
}

#[tokio::test]
async fn an_upstream_that_takes_no_body_is_a_504_and_a_slow_upload_is_not() {
    let limit = Duration::from_millis(300);
    let config = RelayConfig::default().read_timeout(limit).send_timeout(limit);
    let origin = ScriptedOrigin::start(Script::new().read_head().pause(Duration::from_secs(9))).await;
    let relay = RunningRelay::with(config.clone(), &origin).await;
    let body = vec![0; 20 << 20];
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut client = relay.client_sending(head).await;
    let _ = tokio::time::timeout(Duration::from_millis(100), client.try_send(body)).await;
    assert_eq!(client.head().await.status, 504);

    let origin = ScriptedOrigin::start(Script::new().read_head().read(5).send(OK)).await;
    let relay = RunningRelay::with(config, &origin).await;
    let mut client = relay
        .client_sending("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        .await;
    for byte in ["1", "2", "3", "4", "5"] {
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.send(byte).await;
    }
    assert_eq!(client.response().await.0.status, 200);
}

#[tokio::test]
async fn a_kept_connection_without_a_request_ends() {
    let origin = ScriptedOrigin::start(always(OK)).await;
    let relay = RunningRelay::to(&origin).await;
    let mut client = relay.client_sending(GET).await;
    client.response().await;
    client.ends().await;
    let mut slow = relay.client_sending(format!("{GET}GET / HT")).await;
    assert_eq!(slow.response().await.0.status, 200);
    assert_eq!(slow.response().await.0.status, 408);
}

/// RFC 9112, section 9.6: the last answer on a connection says so.
#[tokio::test]
async fn from_the_start_of_a_drain_each_answer_is_the_last() {
    let closing = Script::new().read_head().close();
    for (request, script, kept) in [
        (GET, always(OK), None),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", closing.clone(), None),
        (
            "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
            closing,
            None,
        ),
        (
            "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
            always(OK),
            Some("keep-alive"),
        ),
    ] {
        let origin = ScriptedOrigin::start(script).await;
        let drain = Drain::new();
        let relay = RunningRelay::with(RelayConfig::default().drain(drain.clone()), &origin).await;
        let mut client = relay.client_sending(request).await;
        let (before, _) = client.response().await;
        let connection = before
            .headers
            .get("connection")
            .map(|value| value.to_str().unwrap());
        assert_eq!(connection, kept, "{request:?}");
        drain.complete_now();
        client.send(request).await;
        let (after, _) = client.response().await;
        assert_eq!(after.status, before.status, "{request:?}");
        assert_eq!(after.headers["connection"], "close", "{request:?}");
        client.ends().await;
    }
    // One that is under way: it is the answer that knows.
    let origin = ScriptedOrigin::start(Script::new().read_head().read(1).send(OK)).await;
    let drain = Drain::new();
    let relay = RunningRelay::with(RelayConfig::default().drain(drain.clone()), &origin).await;
    let mut client = relay
        .client_sending("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
        .await;
    origin.connection(0).await.head().await;
    drain.complete_now();
    client.send("x").await;
    assert_eq!(client.response().await.0.headers["connection"], "close");
    client.ends().await;
}

/// The time for the head of an answer is another than that between two reads of a body.
#[tokio::test]
async fn the_head_of_an_answer_and_its_body_have_deadlines_of_their_own() {
    let (short, long) = (Duration::from_millis(300), Duration::from_secs(60));
    let hint = "HTTP/1.1 103 x\r\n\r\n";
    let hints = (0..20).fold(Script::new().read_head(), |script, _| {
        script.pause(short / 3).send(hint)
    });
    let config = RelayConfig::default().read_timeout(long).head_timeout(short);
    for script in [Script::new().read_head().read(1), hints] {
        let origin = ScriptedOrigin::start(script).await;
        let relay = RunningRelay::with(config.clone(), &origin).await;
        let mut client = relay.client_sending(GET).await;
        let mut head = client.head().await;
        while head.status == 103 {
            head = client.head().await;
        }
        assert_eq!(head.status, 504);
    }
    let config = RelayConfig::default().read_timeout(short).head_timeout(long);
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi";
    let origin = ScriptedOrigin::start(Script::new().read_head().send(half).read(1)).await;
    let relay = RunningRelay::with(config, &origin).await;
    let mut client = relay.client_sending(GET).await;
    assert_eq!(client.head().await.status, 200);
    client.rest_until_reset().await;
}

#[tokio::test]
async fn an_upload_that_goes_on_behind_the_head_of_its_answer() {
    const PIECES: usize = 8;
    let limit = Duration::from_secs(1);
    let config = RelayConfig::default().read_timeout(limit);
    let script = Script::new()
        .read_head()
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        .read(PIECES)
        .send("hi");
    let origin = ScriptedOrigin::start(script).await;
    let relay = RunningRelay::with(config, &origin).await;
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {PIECES}\r\n\r\n");
    let mut client = relay.client_sending(request).await;
    assert_eq!(client.head().await.status, 200);
    for _ in 0..PIECES {
        tokio::time::sleep(limit / 4).await;
        client.send("x").await;
    }
    client.receives(b"hi").await;
}

#[tokio::test]
async fn a_head_that_is_cut_short_is_a_502_that_says_so() {
    let origin =
        ScriptedOrigin::start(Script::new().read_head().send("HTTP/1.1 200 OK\r\nA: b").close()).await;
    let relay = RunningRelay::to(&origin).await;
    let (head, body) = relay.client_sending(GET).await.response().await;
    assert_eq!(head.status, 502);
    let text = String::from_utf8(body).unwrap();
    assert!(
        text.contains("closed the connection within the head of its answer"),
        "{text}"
    );
}

/// White space behind the size of a chunk is no part of what goes on: recipients differ about it.
#[tokio::test]
async fn padding_of_chunk_sizes_ends_here() {
    let (padded, plain) = (
        "5 \t\r\nhello\r\n3  ;a=b\r\n, w\r\n0 \r\nX-Sum: 7\r\n\r\n",
        "5\r\nhello\r\n3;a=b\r\n, w\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{padded}");
    let script = |answer: &str, size| {
        let script = Script::new().read_head().read(plain.len());
        script.send_in_pieces(answer, size)
    };
    for size in [1, answer.len()] {
        let origin = ScriptedOrigin::start(script(&answer, size)).await;
        let relay = RunningRelay::to(&origin).await;
        let mut client = relay
            .client_sending(
                "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
            )
            .await;
        let connection = origin.connection(0).await;
        let head = connection.head().await;
        match size {
            1 => client.send_byte_by_byte(padded).await,
            _ => client.send(padded).await,
        }
        assert_eq!(client.head().await.status, 200);
        assert_eq!(String::from_utf8(client.rest().await).unwrap(), plain);
        let received = String::from_utf8(connection.received()).unwrap();
        assert_eq!(received.strip_prefix(&head).unwrap(), plain);
    }
}

/// RFC 9112, section 3.2: nobody is asked without a `Host`, and its value is the upstream's.
#[tokio::test]
async fn a_request_of_http_1_0_without_a_host() {
    let request = "GET / HTTP/1.0\r\n\r\n";
    let origin = ScriptedOrigin::start(always(OK)).await;
    let relay = RunningRelay::to(&origin).await;
    relay.client_sending(request).await.response().await;
    let head = origin.connection(0).await.head().await;
    let expected = format!("GET / HTTP/1.1\r\nHost: {}\r\n", origin.address());
    assert!(head.starts_with(&expected), "{head}");

    let rules = HeaderRules::default().upstream("backend:1");
    let relay = Relay::new(RelayConfig::default()).forwarding(Forwarding::default().header_rules(rules));
    let relay = RunningRelay::of(relay, &origin).await;
    relay.client_sending(request).await.response().await;
    let head = origin.connection(1).await.head().await;
    assert!(
        head.starts_with("GET / HTTP/1.1\r\nHost: backend:1\r\n"),
        "{head}"
    );
}
