//! Answers as the client receives them.

use http::Method;

use crate::doors::{Body, DOORS, Door, Message, Proxy};
use crate::origin::Origin;

fn ask(method: Method) -> Message {
    Message {
        method,
        fields: Vec::new(),
        body: Body::None,
    }
}

/// What a client gets of an answer: its status, its fields of framing, and its content.
#[tokio::test]
async fn an_answer_arrives_as_it_was_framed() {
    let cases: [(Method, &str, u16, Option<&str>, &str); 12] = [
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            200,
            Some("2"),
            "hi",
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            200,
            Some("0"),
            "",
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            200,
            None,
            "hi",
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            200,
            None,
            "",
        ),
        (Method::GET, "HTTP/1.0 200 OK\r\n\r\nhi", 200, None, "hi"),
        (
            Method::GET,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nno",
            404,
            Some("2"),
            "no",
        ),
        // RFC 9110, section 8.6: what a GET would have had.
        (
            Method::HEAD,
            "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
            200,
            Some("1234"),
            "",
        ),
        (
            Method::HEAD,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            200,
            None,
            "",
        ),
        (Method::HEAD, "HTTP/1.1 200 OK\r\n\r\n", 200, None, ""),
        (
            Method::GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: a\r\n\r\n",
            304,
            Some("1234"),
            "",
        ),
        (
            Method::GET,
            "HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n",
            304,
            None,
            "",
        ),
        (
            Method::GET,
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            204,
            None,
            "",
        ),
    ];
    for door in DOORS {
        for (method, answer, status, length, content) in &cases {
            let origin = Origin::answering(answer).await;
            let proxy = Proxy::to(door, origin.address).await;
            let received = proxy.ask(ask(method.clone())).await;
            let case = format!("{door:?} {method} {answer:?} {received:?}");
            assert_eq!(received.status, *status, "{case}");
            // hyper's server for HTTP/1.1 sends no length with a 304.
            let length = length.filter(|_| *status != 304 || door != Door::Mounted);
            assert_eq!(received.field("content-length"), length, "{case}");
            match *content {
                "" if received.body.is_empty() => {}
                content => assert_eq!(received.content().0, content, "{case}"),
            }
        }
    }
}

/// RFC 9110, section 15.5.22: a 426 names the protocol; HTTP/2 has no such field.
#[tokio::test]
async fn an_answer_names_the_protocol_that_the_client_may_ask_for() {
    let cases = [
        (
            "HTTP/1.1 426 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 4\r\n\r\nups\n",
            Some("websocket"),
        ),
        (
            "HTTP/1.1 400 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
            Some("websocket"),
        ),
        (
            "HTTP/1.1 200 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
            Some("websocket"),
        ),
        (
            "HTTP/1.1 200 x\r\nUpgrade: h2,h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
            None,
        ),
    ];
    for door in DOORS {
        for (answer, expected) in cases {
            let origin = Origin::answering(answer).await;
            let proxy = Proxy::to(door, origin.address).await;
            let received = proxy.ask(ask(Method::GET)).await;
            let expected = expected.filter(|_| !door.is_http_2());
            assert_eq!(received.field("upgrade"), expected, "{door:?} {received:?}");
            assert_eq!(
                received.field("connection"),
                expected.map(|_| "upgrade"),
                "{door:?} {received:?}"
            );
        }
    }
}

/// RFC 9110, section 6.6.1: the date is the origin's. One without a clock sends none.
#[tokio::test]
async fn a_date_is_the_origins() {
    const DATED: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n";
    for door in DOORS {
        let origin = Origin::answering(DATED).await;
        let proxy = Proxy::to(door, origin.address).await;
        let received = proxy.ask(ask(Method::GET)).await;
        assert_eq!(
            received.field("date"),
            Some("Sun, 06 Nov 1994 08:49:37 GMT"),
            "{door:?}"
        );
    }
}

/// Interim responses without end are an upstream's fault, and cost no more than a bound of them.
#[tokio::test]
async fn interim_responses_are_bounded() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let few = format!("{}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", hint.repeat(32)).leak();
    let many = hint.repeat(100_000).leak();
    for door in DOORS {
        for (answer, status) in [(&*few, 200), (&*many, 502)] {
            let origin = Origin::answering(answer).await;
            let proxy = Proxy::to(door, origin.address).await;
            let received = proxy.ask(ask(Method::GET)).await;
            assert_eq!(received.status, status, "{door:?}");
            let passed = if door == Door::Relay { 32 } else { 0 };
            assert!(received.interim <= passed, "{door:?} {}", received.interim);
            assert!(
                status != 200 || received.interim == passed,
                "{door:?} {}",
                received.interim
            );
        }
    }
}
