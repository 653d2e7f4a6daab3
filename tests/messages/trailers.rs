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
