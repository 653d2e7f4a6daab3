//! Trailer fields, in both directions: those that may go on arrive, announced or not.

use http::Method;

use crate::doors::{Body, DOORS, Door, Message, Proxy};
use crate::origin::Origin;

#[tokio::test]
async fn of_a_request() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    for door in DOORS {
        let origin = Origin::answering(OK).await;
        let proxy = Proxy::to(door, origin.address).await;
        for method in [Method::POST, Method::GET] {
            let message = Message {
                method,
                fields: Vec::new(),
                body: Body::Open(
                    &["hello"],
                    &[
                        ("x-sum", "7"),
                        ("authorization", "x"),
                        ("x-forwarded-for", "6.6.6.6"),
                    ],
                ),
            };
            assert_eq!(proxy.ask(message.clone()).await.status, 200);
            let (content, trailers) = origin.take().remove(0).content();
            assert_eq!(
                (content.as_str(), trailers.to_lowercase().as_str()),
                ("hello", "x-sum: 7\r\n"),
                "{door:?} {message:?}"
            );
        }
    }
}

#[tokio::test]
async fn of_an_answer() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\nSet-Cookie: a\r\n\r\n";
    for door in DOORS {
        let origin = Origin::answering(ANSWER).await;
        let proxy = Proxy::to(door, origin.address).await;
        let message = Message {
            method: Method::GET,
            fields: vec![("te", "trailers")],
            body: Body::None,
        };
        let (content, trailers) = proxy.ask(message).await.content();
        // hyper's server for HTTP/1.1 sends those that a Trailer field announces.
        let expected = if door == Door::Mounted { "" } else { "x-sum: 7\r\n" };
        assert_eq!(
            (content.as_str(), trailers.to_lowercase().as_str()),
            ("hi", expected),
            "{door:?}"
        );
    }
}

/// RFC 9110, section 7.6.1: what `Connection` nominates is removed from the trailer section too; and so is what a rule for the head drops,
/// as this look-alike of the proxy's own `Content-Length`.
#[tokio::test]
async fn what_the_head_has_lost_does_not_come_in_behind_it() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\nhi\r\n0\r\nX-Sum: 7\r\nX-Hop: 2\r\n\r\n";
    for door in DOORS {
        let origin = Origin::answering(ANSWER).await;
        let proxy = Proxy::to(door, origin.address).await;
        // HTTP/2 has no Connection.
        let (fields, sent) = match door.is_http_2() {
            true => (vec![("te", "trailers")], "x-sum: 7\r\nx-hop: 2\r\n"),
            false => (vec![("connection", "x-hop"), ("x-hop", "1")], "x-sum: 7\r\n"),
        };
        let message = Message {
            method: Method::POST,
            fields,
            body: Body::Open(
                &["hello"],
                &[("x-sum", "7"), ("x-hop", "2"), ("content_length", "5")],
            ),
        };
        let (content, received) = proxy.ask(message).await.content();
        let expected = if door == Door::Mounted { "" } else { "x-sum: 7\r\n" };
        assert_eq!(
            (content.as_str(), received.to_lowercase().as_str()),
            ("hi", expected),
            "{door:?}"
        );
        let (content, trailers) = origin.take().remove(0).content();
        assert_eq!(
            (content.as_str(), trailers.to_lowercase().as_str()),
            ("hello", sent),
            "{door:?}"
        );
    }
}
