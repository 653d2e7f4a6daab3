//! Requests and answers that two readers read in different ways, through every door. What is served has arrived as one request; what
//! is refused has arrived as none, and nothing that stands behind it is read.
//!
//! hyper reads some of them in a way of its own before a service sees them. What goes upstream is then framed by that reading alone.

use http::{Method, Request, StatusCode};
use switchover::test_util::{ScriptedClient, TIMEOUT, UPGRADE_REQUEST};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::doors::{Body, DOORS, Door, Message, Proxy};
use crate::origin::Origin;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
/// What an attacker hides behind a request, and an honest client pipelines. It is the last, so each connection ends.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is refused with this status, and the connection ends.
    Refused(u16),
    /// It is served, and so is the next one.
    Served,
    /// It is served, and the connection ends.
    Last,
}
use Outcome::{Last, Refused, Served};

/// A request, and what becomes of it behind the raw door and behind hyper's server.
type Row = (&'static str, Outcome, Outcome);

fn both(request: &'static str, outcome: Outcome) -> Row {
    (request, outcome, outcome)
}

/// Sends a request and the next one, and reads to the end of the connection, however it comes.
async fn provoke(door: Door, request: &str) -> (Vec<u16>, Vec<String>) {
    let origin = Origin::answering(OK).await;
    let proxy = Proxy::to(door, origin.address).await;
    let mut client = proxy.client_sending("").await;
    // The proxy may have refused what came first.
    let _ = client.try_send(format!("{request}{NEXT}")).await;
    let received = timeout(TIMEOUT, to_the_end(&mut client)).await;
    let received = received.unwrap_or_else(|_| panic!("{door:?} does not end: {request:.200?}"));
    let arrived = origin
        .take()
        .into_iter()
        .map(|arrived| arrived.head.uri.to_string());
    (statuses(&received), arrived.collect())
}

async fn to_the_end(client: &mut ScriptedClient) -> Vec<u8> {
    let mut received = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = client.stream().read(&mut bytes).await {
        received.extend_from_slice(&bytes[..count]);
    }
    received
}

/// The statuses of the final responses in these bytes.
fn statuses(received: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(received);
    // hyper answers HTTP/1.0 with HTTP/1.0.
    let heads = text.split("HTTP/1.").skip(1);
    let statuses = heads.filter_map(|head| head.get(2..5)?.parse().ok());
    statuses.filter(|status| *status >= 200).collect()
}

async fn check(rows: impl IntoIterator<Item = Row>) {
    let mut faults = Vec::new();
    for (request, raw, mounted) in rows {
        for (door, outcome) in [(Door::Relay, raw), (Door::Mounted, mounted)] {
            let found = provoke(door, request).await;
            let (statuses, arrived): (&[u16], &[&str]) = match outcome {
                Refused(status) => (&[status], &[]),
                Served => (&[200, 200], &["/a", "/next"]),
                Last => (&[200], &["/a"]),
            };
            if found.0 != statuses || found.1 != arrived {
                faults.push(format!("{door:?} {request:.200?}: {found:?}, not {outcome:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A POST of these lines and this body.
macro_rules! post {
    ($lines:literal) => {
        concat!("POST /a HTTP/1.1\r\nHost: a.example\r\n", $lines)
    };
}

/// RFC 9112, section 6: how long the body is, said twice or in a way of one's own.
#[tokio::test]
async fn framings() {
    let refused = [
        post!("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        post!("Content-Length: +5\r\n\r\nhello"),
        post!("Content-Length: -5\r\n\r\nhello"),
        post!("Content-Length: 0x5\r\n\r\nhello"),
        post!("Content-Length: 5 5\r\n\r\nhello"),
        post!("Content-Length: 5, 5\r\n\r\nhello"),
        post!("Content-Length: 5.0\r\n\r\nhello"),
        post!("Content-Length:\r\n\r\nhello"),
        post!("Content-Length: 99999999999999999999\r\n\r\nhello"),
        post!("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: identity\r\n\r\nhello"),
        post!("Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
        post!("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        post!("Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
        post!(" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        post!("X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        post!("X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        post!("X: a\0Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "POST /a HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    check(refused.map(|request| both(request, Refused(400)))).await;
    check([
        both(
            post!("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            Refused(501),
        ),
        both(
            post!("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            Refused(501),
        ),
        both(post!("Content-Length: 5\r\n\r\nhello"), Served),
        both(post!("Content-Length: 005\r\n\r\nhello"), Served),
        both(post!("Content-Length: 0\r\n\r\n"), Served),
        both(post!("\r\n"), Served),
        both(
            post!("Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            Served,
        ),
        // hyper takes one of the two, and a line feed for the end of a line.
        (
            post!("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
            Refused(400),
            Served,
        ),
        (
            post!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            Refused(400),
            Last,
        ),
        (
            post!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
            Refused(400),
            Last,
        ),
        (
            post!("X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            Refused(400),
            Served,
        ),
    ])
    .await;
}

/// RFC 9112, section 7.1: chunks, up to a trailer section that would change the message.
#[tokio::test]
async fn chunks() {
    let refused = [
        post!("Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: chunked\r\n\r\n5 1\r\nhello\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n"),
        post!("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n"),
        post!("Transfer-Encoding: chunked\r\n\r\n0\r\nBad Name: x\r\n\r\n"),
    ];
    check(refused.map(|request| both(request, Refused(400)))).await;
    check([
        both(
            post!("Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n000\r\n\r\n"),
            Served,
        ),
        both(
            post!("Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 500\r\nHost: b\r\n\r\n"),
            Served,
        ),
        both(
            post!("Transfer-Encoding: chunked\r\n\r\n5 \t\r\nhello\r\n0 ;a=b\r\n\r\n"),
            Served,
        ),
    ])
    .await;
}

/// RFC 9112, sections 2 and 3: the request line, the target, and for whom the request is.
#[tokio::test]
async fn lines_and_targets() {
    let refused = [
        "GET /a HTTP/1.1\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: user@a\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a..\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a:b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a:99999\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://user@a/a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/a HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "G@T /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET /a http/1.1\r\nHost: a\r\n\r\n",
        "GET /a HTTP/01.1\r\nHost: a\r\n\r\n",
        "GET /a\r\nHost: a\r\n\r\n",
    ];
    check(refused.map(|request| both(request, Refused(400)))).await;
    check([
        both("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Refused(501)),
        both("TRACE /a HTTP/1.1\r\nHost: a\r\n\r\n", Refused(405)),
        both("GET /a HTTP/1.1\r\nHost: a:80\r\n\r\n", Served),
        both("\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", Served),
        both("GET http://b/a HTTP/1.1\r\nHost: a\r\n\r\n", Served),
        // What hyper has cut off, or does not know, nobody behind it can see.
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400), Served),
        ("GET /a HTTP/1.2\r\nHost: a\r\n\r\n", Refused(505), Refused(400)),
        ("GET /a HTTP/2.0\r\nHost: a\r\n\r\n", Refused(505), Refused(400)),
    ])
    .await;
}

/// RFC 6585, section 5; RFC 9110, section 15.5.15.
#[tokio::test]
async fn sizes() {
    let fields = "X: 1\r\n".repeat(140);
    let many = format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let large = format!("GET /a HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let long = format!("GET /a?{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000));
    for (request, status) in [(&many, 431), (&large, 431), (&long, 414)] {
        for door in [Door::Relay, Door::Mounted] {
            let (statuses, arrived) = provoke(door, request).await;
            assert_eq!(statuses, [status], "{door:?} {request:.60}");
            assert!(arrived.is_empty(), "{door:?} {arrived:?}");
        }
    }
}

/// RFC 9110, section 7.8, RFC 9112, section 9.6, and RFC 9931: after which requests no other is read.
#[tokio::test]
async fn connections() {
    let upgrade: &'static str = UPGRADE_REQUEST.replacen("/chat", "/a", 1).leak();
    check([
        both(upgrade, Last),
        both(
            "GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
            Last,
        ),
        both(
            "GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: TLS/1.2\r\nConnection: x\r\nConnection: upgrade\r\n\r\n",
            Last,
        ),
        both("GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\n\r\n", Served),
        both("GET /a HTTP/1.1\r\nHost: a\r\nConnection: x-close\r\n\r\n", Served),
        both(
            "GET /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: CLOSE\r\n\r\n",
            Last,
        ),
        both("GET /a HTTP/1.0\r\nHost: a\r\n\r\n", Last),
        both("GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", Served),
        both(
            "PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
            Served,
        ),
    ])
    .await;
}

/// RFC 9113, section 8.2 and 8.3: what HTTP/1.1 would read in another way.
#[tokio::test]
async fn requests_of_http_2() {
    let get = |authority: &str| Request::get(format!("http://{authority}/a"));
    for door in DOORS.into_iter().filter(|door| door.is_http_2()) {
        let length = |value: &'static str| get("a").header("content-length", value);
        let cases = [
            // h2 resets the stream where it finds it itself.
            (
                "lengths that differ",
                length("0").header("content-length", "5"),
                400,
            ),
            ("a length twice", length("0").header("content-length", "0"), 400),
            ("an empty length", length(""), 400),
            ("white space in front", get("a").header("x", " b"), 400),
            ("white space behind", get("a").header("x", "b\t"), 400),
            ("another Host", get("a").header("host", "b"), 400),
            (
                "Host twice",
                get("a").header("host", "a").header("host", "a"),
                400,
            ),
            ("user information", get("user@a"), 400),
            ("an empty label", get("a.."), 400),
            ("TRACE", get("a").method("TRACE"), 405),
            ("CONNECT", Request::connect("a:80"), 501),
            ("the same Host", get("a").header("host", "A"), 200),
            ("a length", length("0"), 200),
        ];
        for (what, request, status) in cases {
            let origin = Origin::answering(OK).await;
            let proxy = Proxy::to(door, origin.address).await;
            let (mut send, _driving) = proxy.client_of_http_2().await;
            let (response, _) = send.send_request(request.body(()).unwrap(), true).unwrap();
            let response = timeout(TIMEOUT, response).await.expect("an answer in time");
            let arrived = origin.take();
            let case = format!("{door:?} {what}: {response:?} {arrived:?}");
            assert_eq!(arrived.len(), usize::from(status == 200), "{case}");
            match response {
                Ok(response) => assert_eq!(response.status().as_u16(), status, "{case}"),
                Err(error) => assert!(status == 400 && error.is_reset(), "{case}"),
            }
        }
    }
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Fields as HPACK has them without a table: each a literal with a new name (RFC 7541, section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// RFC 9113, sections 8.2 and 8.3: heads that no client in order sends, and no origin hears of.
#[tokio::test]
async fn malformed_heads_of_http_2() {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const END_HEADERS: u8 = 4;
    const END_STREAM: u8 = 1;
    const GOOD: [(&str, &str); 4] = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/a"),
    ];
    let with = |more: &[(&'static str, &'static str)]| [&GOOD[..], more].concat();
    let replaced = |name: &str, value: &'static str| {
        let of = |(known, usual)| (known, if known == name { value } else { usual });
        GOOD.map(of).to_vec()
    };
    let without = |name: &str| GOOD.into_iter().filter(|(known, _)| *known != name).collect();
    let cases: [(Vec<(&str, &str)>, bool); 32] = [
        (GOOD.to_vec(), true),
        (
            with(&[("te", "trailers"), ("cookie", "a=1"), ("cookie", "b=2")]),
            true,
        ),
        (with(&[("x-a", "b c")]), true),
        (without(":method"), false),
        (without(":scheme"), false),
        (without(":path"), false),
        (without(":authority"), false),
        (with(&[(":path", "/b")]), false),
        (with(&[("x", "1"), (":method", "GET")]), false),
        ([&[("x", "1")], &GOOD[..]].concat(), false),
        (with(&[(":unknown", "1")]), false),
        (with(&[(":status", "200")]), false),
        (with(&[(":protocol", "websocket")]), false),
        (replaced(":path", ""), false),
        (replaced(":path", "a"), false),
        (replaced(":path", "*"), false),
        (replaced(":path", "http://a/a"), false),
        (replaced(":path", "/a b"), false),
        (replaced(":path", "/a HTTP/1.1\r\nX: 1"), false),
        (replaced(":method", "GET /b HTTP/1.1\r\nX: 1\r\n\r\nGET"), false),
        (replaced(":authority", "user@a"), false),
        (replaced(":authority", "a\r\nX: 1"), false),
        (with(&[("X-Upper", "1")]), false),
        (with(&[("x a", "1")]), false),
        (with(&[("x:", "1")]), false),
        (with(&[("x", "1\r\ny: 2")]), false),
        (with(&[("x", "1\0")]), false),
        (with(&[("connection", "close")]), false),
        (with(&[("transfer-encoding", "chunked")]), false),
        (
            with(&[("upgrade", "websocket"), ("connection", "upgrade")]),
            false,
        ),
        (with(&[("te", "gzip")]), false),
        (with(&[("content-length", "5")]), false),
    ];
    for door in DOORS.into_iter().filter(|door| door.is_http_2()) {
        for (fields, is_served) in &cases {
            let origin = Origin::answering(OK).await;
            let proxy = Proxy::to(door, origin.address).await;
            let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
            let bytes = [&preface[..], &frame(SETTINGS, 0, 0, &[]), &head].concat();
            let mut client = proxy.client_sending(bytes).await;
            let stream = client.stream();
            let answered = async {
                loop {
                    let mut header = [0; 9];
                    if stream.read_exact(&mut header).await.is_err() {
                        return;
                    }
                    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
                    let mut payload = vec![0; length as usize];
                    stream.read_exact(&mut payload).await.unwrap();
                    let of_request = header[8] == 1 && [DATA, HEADERS, RST_STREAM].contains(&header[3]);
                    if of_request && *is_served == (header[3] == DATA) || header[3] == GOAWAY {
                        return;
                    }
                }
            };
            let case = format!("{door:?} {fields:?}");
            timeout(TIMEOUT, answered)
                .await
                .unwrap_or_else(|_| panic!("no answer: {case}"));
            assert_eq!(origin.take().len(), usize::from(*is_served), "{case}");
        }
    }
}

/// Answers that nobody can be sent: the client gets a 502, whatever the door.
#[tokio::test]
async fn answers() {
    let large: &'static str = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(70_000)
    )
    .leak();
    let many: &'static str = format!(
        "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
        "X: 1\r\n".repeat(140)
    )
    .leak();
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2000 High\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1200 OK\r\nContent-Length: 0\r\n\r\n",
        "ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: /b\r\nLocation: /c\r\nContent-Length: 0\r\n\r\n",
        large,
        many,
    ];
    for door in DOORS {
        for answer in answers {
            let origin = Origin::answering(answer).await;
            let proxy = Proxy::to(door, origin.address).await;
            let message = Message {
                method: Method::GET,
                fields: Vec::new(),
                body: Body::None,
            };
            let status = proxy.ask(message).await.status;
            assert_eq!(status, StatusCode::BAD_GATEWAY, "{door:?} {answer:.200?}");
        }
    }
}
