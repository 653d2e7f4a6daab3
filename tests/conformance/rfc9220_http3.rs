//! RFC 9220: what RFC 8441 says holds for HTTP/3, and the translation does not know which of the two it serves.

use http::Version;
use switchover::handshake::extended_connect::{PROTOCOL, to_success, to_upgrade};
use switchover::handshake::{HandshakePolicy, Rejection, UpgradeRequest, Verdict};
use switchover::header::{Forwarding, Hop};

use crate::rfc8441_4_extended_connect::{EXAMPLE, connect, key};

fn connect_by_http_3() -> http::request::Parts {
    let mut request = connect("https://server.example.com/chat", EXAMPLE);
    request.version = Version::HTTP_3;
    request.headers.append("cookie", "a=1".parse().unwrap());
    request.headers.append("cookie", "b=2".parse().unwrap());
    request
}

#[test]
fn an_http_3_request_becomes_the_same_upgrade_as_an_http_2_request() {
    let of_http_3 = to_upgrade(connect_by_http_3(), PROTOCOL, key()).unwrap();
    let mut request = connect_by_http_3();
    request.version = Version::HTTP_2;
    let of_http_2 = to_upgrade(request, PROTOCOL, key()).unwrap();
    assert_eq!(
        (of_http_3.version, of_http_3.uri, of_http_3.headers),
        (of_http_2.version, of_http_2.uri, of_http_2.headers)
    );
}

#[test]
fn the_whole_walk_of_an_http_3_request() {
    let upgrade = to_upgrade(connect_by_http_3(), PROTOCOL, key()).unwrap();
    let request = UpgradeRequest::parse(&upgrade, &HandshakePolicy::default())
        .unwrap()
        .unwrap();
    let (outgoing, pending) = request.forward(upgrade, Hop::unknown().tls(true), &Forwarding::default());
    assert_eq!(
        (outgoing.version, &outgoing.headers["cookie"]),
        (Version::HTTP_11, &"a=1; b=2".parse().unwrap())
    );
    let switch = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let Ok(Verdict::Switched(switched)) = pending.judge(crate::parsed::response(switch).unwrap()) else {
        panic!("no switch")
    };
    assert_eq!(to_success(switched).status, 200);
}

#[test]
fn section_3_a_protocol_that_is_not_known_is_a_501() {
    let rejection = to_upgrade(connect_by_http_3(), "webtransport", key()).unwrap_err();
    assert_eq!(
        (&rejection, rejection.status().as_u16()),
        (&Rejection::ProtocolUnknown, 501)
    );
}
