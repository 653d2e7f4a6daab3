//! What belongs to this hop: fields that are counted, that end here, or that are answered here, and interim responses.

use std::future::poll_fn;

use bytes::Bytes;
use http::{Method, Request};
use switchover::service::RelayConfig;
use switchover::test_util::{Script, ScriptedOrigin, TIMEOUT};
use tokio::time::timeout;

use crate::doors::{Body, DOORS, Door, Message, Proxy};
use crate::origin::Origin;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn ask(method: &str, fields: &[(&'static str, &'static str)]) -> Message {
    Message {
        method: method.parse().unwrap(),
        fields: fields.to_vec(),
        body: Body::None,
    }
}

/// RFC 9110, section 7.6.2.
#[tokio::test]
async fn forwards_are_counted_for_options_and_trace() {
    let rows = [
        ("OPTIONS", "0", None),
        ("OPTIONS", "1", Some("0")),
        ("OPTIONS", "70", Some("69")),
        ("TRACE", "0", None),
        ("TRACE", "3", Some("2")),
        ("GET", "0", Some("0")),
        ("OPTIONS", "many", Some("many")),
    ];
    for door in DOORS {
        for (method, value, forwarded) in rows {
            let origin = Origin::answering(OK).await;
            let config = RelayConfig::default().allow_trace(true);
            let proxy = Proxy::with(config, door, origin.address).await;
            let secret = [("max-forwards", value), ("cookie", "secret")];
            let answer = proxy.ask(ask(method, &secret)).await;
            let arrived = origin.take();
            let case = format!("{door:?} {method} {value}: {answer:?} {arrived:?}");
            assert_eq!(answer.status, 200, "{case}");
            assert_eq!(arrived.len(), usize::from(forwarded.is_some()), "{case}");
            match (forwarded, method) {
                (Some(_), _) => assert_eq!(arrived[0].field("max-forwards"), forwarded, "{case}"),
                (None, "TRACE") => {
                    assert_eq!(answer.field("content-type"), Some("message/http"), "{case}");
                    assert!(answer.body.starts_with("TRACE /a HTTP/1.1\r\n"), "{case}");
                    assert!(!answer.body.contains("secret"), "{case}");
                }
                (None, _) => {
                    assert!(answer.field("allow").unwrap().contains("OPTIONS"), "{case}");
                    assert_eq!(answer.field("content-length"), Some("0"), "{case}");
                    assert_eq!(answer.body, "", "{case}");
                }
            }
        }
    }
}

/// CVE-2016-5385, and what back ends without hyphens take for the framing.
#[tokio::test]
async fn fields_that_a_back_end_would_mistake_end_here() {
    let mistaken = ["proxy", "content_length", "transfer_encoding", "x_forwarded_for"];
    for door in DOORS {
        let origin = Origin::answering(OK).await;
        let proxy = Proxy::to(door, origin.address).await;
        let fields = mistaken.map(|name| (name, "1"));
        assert_eq!(proxy.ask(ask("GET", &fields)).await.status, 200, "{door:?}");
        let arrived = origin.take().remove(0);
        for name in mistaken {
            assert_eq!(arrived.field(name), None, "{door:?}");
        }
    }
}

/// RFC 9110, section 15.2: interim responses are forwarded, where the server can send them.
#[tokio::test]
async fn interim_responses_reach_a_client_of_http_2() {
    const HINTED: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\n\r\n\
        HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\nContent-Length: 5\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let origin = Origin::answering(HINTED).await;
    let proxy = Proxy::to(Door::Own2, origin.address).await;
    let (mut send, _driving) = proxy.client_of_http_2().await;
    let request = Request::get("http://a.example/a").body(()).unwrap();
    let (mut response, _) = send.send_request(request, true).unwrap();
    let received = async {
        let mut links = Vec::new();
        while let Some(interim) = poll_fn(|cx| response.poll_informational(cx)).await {
            let interim = interim.unwrap();
            assert_eq!(interim.status(), 103);
            assert_eq!(interim.headers().len(), 1, "{interim:?}");
            links.push(interim.headers()["link"].to_str().unwrap().to_owned());
        }
        (links, response.await.unwrap().status())
    };
    let (links, status) = timeout(TIMEOUT, received).await.expect("an answer in time");
    assert_eq!(
        (links, status.as_u16()),
        (vec!["</a>".to_owned(), "</b>".to_owned()], 200)
    );
}

/// The same, where the answer is a tunnel.
#[tokio::test]
async fn interim_responses_to_an_extended_connect_come_before_its_answer() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let script = Script::new().read_head().send(hint).send(hint).switch();
    let origin = ScriptedOrigin::start(script).await;
    let proxy = Proxy::to(Door::Own2, origin.address()).await;
    let (send, _driving) = proxy.client_of_http_2().await;
    let answered = async {
        let mut send = send.ready().await.unwrap();
        while !send.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let request = Request::connect("http://a.example/a")
            .extension(h2::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .body(());
        let (mut response, _body) = send.send_request(request.unwrap(), false).unwrap();
        let mut hints = 0;
        while let Some(interim) = poll_fn(|cx| response.poll_informational(cx)).await {
            assert_eq!(interim.unwrap().status(), 103);
            hints += 1;
        }
        (hints, response.await.unwrap().status().as_u16())
    };
    let answered = timeout(TIMEOUT, answered).await.expect("an answer in time");
    assert_eq!(answered, (2, 200));
}

/// RFC 9110, section 10.1.1: a client that waits to be asked for its content is asked, and not where it is refused anyway.
#[tokio::test]
async fn a_client_of_http_2_that_waits_is_asked_for_its_body() {
    for (limit, expected) in [(None, (1, 200)), (Some(4), (0, 413))] {
        let origin = Origin::answering(OK).await;
        let config = RelayConfig::default().max_request_body(limit);
        let proxy = Proxy::with(config, Door::Own2, origin.address).await;
        let (mut send, _driving) = proxy.client_of_http_2().await;
        let request = Request::builder()
            .method(Method::PUT)
            .uri("http://a.example/a")
            .header("expect", "100-continue")
            .header("content-length", "5");
        let (mut response, mut body) = send.send_request(request.body(()).unwrap(), false).unwrap();
        let answered = async {
            let mut asked = 0;
            while let Some(interim) = poll_fn(|cx| response.poll_informational(cx)).await {
                assert_eq!(interim.unwrap().status(), 100);
                asked += 1;
                body.send_data(Bytes::from_static(b"hello"), true).unwrap();
            }
            (asked, response.await.unwrap().status().as_u16())
        };
        let answered = timeout(TIMEOUT, answered).await.expect("an answer in time");
        assert_eq!(answered, expected, "{limit:?}");
        let arrived = origin.take();
        assert_eq!(arrived.len(), asked_of(expected.1), "{limit:?}");
        assert!(
            arrived
                .iter()
                .all(|arrived| arrived.body == b"hello" && arrived.field("expect").is_none())
        );
    }
}

fn asked_of(status: u16) -> usize {
    usize::from(status == 200)
}
