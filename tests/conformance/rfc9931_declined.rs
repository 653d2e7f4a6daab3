//! RFC 9931: after an answer other than 101 the connection closes; and how that answer is made ready to be relayed.

use switchover::handshake::{BadSwitch, Declined, HandshakePolicy, UpgradeRequest, Verdict};
use switchover::header::{Forwarding, Hop};
use switchover::http1::{BodyLength, FramingError, encode_response};

use crate::parsed::{request, response};

fn judge(head: &str) -> Result<Verdict, BadSwitch> {
    let parts = request(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )
    .unwrap();
    let upgrade = UpgradeRequest::parse(&parts, &HandshakePolicy::default())
        .unwrap()
        .unwrap();
    upgrade
        .forward(parts, Hop::unknown(), &Forwarding::default())
        .1
        .judge(response(head).unwrap())
}

fn declined(head: &str) -> Declined {
    match judge(head) {
        Ok(Verdict::Declined(declined)) => declined,
        other => panic!("{head:?}: {other:?}"),
    }
}

fn relayed(head: &str) -> String {
    let mut bytes = Vec::new();
    encode_response(declined(head).response(), &mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn heads_as_they_are_relayed() {
    let cases = [
        (
            "HTTP/1.1 403 go away\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
        ),
        (
            "HTTP/1.0 200 OK\r\nX: y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: upgrade, x-secret\r\nUpgrade: websocket\r\nX-Secret: 1\r\n\
             Content-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close, upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        (
            "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: TLS/1.2\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close, upgrade\r\n\
             Upgrade: TLS/1.2\r\n\r\n",
        ),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ),
    ];
    for (head, expected) in cases {
        assert_eq!(relayed(head), expected, "{head:?}");
    }
}

#[test]
fn a_length_that_is_said_twice_is_relayed_once() {
    // RFC 9110, section 8.6: not to be forwarded, but for one number that all agree on.
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(relayed(head).matches("Content-Length: 5\r\n").count(), 1);
}

#[test]
fn no_length_beside_a_status_that_has_none() {
    // RFC 9110, section 8.6: no Content-Length in a 204.
    let text = relayed("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n");
    assert!(!text.contains("Content-Length"), "{text:?}");
    let text = relayed("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n");
    assert!(
        text.contains("Content-Length: 5"),
        "allowed in a 304, says how long a 200 would be: {text:?}"
    );
}

#[test]
fn body_lengths() {
    for (lines, length) in [
        ("HTTP/1.1 403 x\r\nContent-Length: 3\r\n", BodyLength::Exactly(3)),
        (
            "HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n",
            BodyLength::Chunked,
        ),
        ("HTTP/1.1 403 x\r\n", BodyLength::UntilClose),
        ("HTTP/1.1 204 x\r\n", BodyLength::None),
    ] {
        assert_eq!(
            declined(&format!("{lines}\r\n")).body_length(),
            length,
            "{lines:?}"
        );
    }
}

#[test]
fn more_connection_options_than_anyone_needs() {
    let head = format!(
        "HTTP/1.1 403 x\r\nConnection: {}\r\n\r\n",
        vec!["a"; 65].join(",")
    );
    assert!(matches!(judge(&head), Err(BadSwitch::ConnectionOptions(_))));
}

#[test]
fn parts_with_an_ambiguous_framing_that_another_parser_let_through() {
    let (parts, ()) = http::Response::builder()
        .status(403)
        .header("content-length", "5")
        .header("transfer-encoding", "chunked")
        .body(())
        .unwrap()
        .into_parts();
    let asked = request(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )
    .unwrap();
    let upgrade = UpgradeRequest::parse(&asked, &HandshakePolicy::default())
        .unwrap()
        .unwrap();
    let pending = upgrade.forward(asked, Hop::unknown(), &Forwarding::default()).1;
    assert_eq!(
        pending.judge(parts).unwrap_err(),
        BadSwitch::Framing(FramingError::Both)
    );
}
