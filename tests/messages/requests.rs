//! Requests as the origin receives them.

use axum::Router;
use axum::extract::Request;
use http::Method;
use switchover::TcpConnect;
use switchover::service::ReverseProxy;
use tower::ServiceBuilder;

use crate::doors::{Body, DOORS, Door, Message, Proxy};
use crate::origin::Origin;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND",
];

/// RFC 9110, section 6.4: whether there is content does not depend on the method.
#[tokio::test]
async fn a_body_arrives_whatever_the_method() {
    let bodies = [
        (Body::None, "", None, None),
        (Body::Length("hello"), "hello", Some("5"), None),
        (Body::Open(&["he", "llo"], &[]), "hello", None, Some("chunked")),
        (Body::Open(&[], &[]), "", None, Some("chunked")),
    ];
    for door in DOORS {
        let origin = Origin::answering(OK).await;
        let proxy = Proxy::to(door, origin.address).await;
        for method in METHODS {
            for (body, content, length, coding) in &bodies {
                let message = Message {
                    method: method.parse().unwrap(),
                    fields: Vec::new(),
                    body: body.clone(),
                };
                let case = format!("{door:?} {message:?}");
                assert_eq!(proxy.ask(message).await.status, 200, "{case}");
                let [arrived] = &origin.take()[..] else {
                    panic!("{case}")
                };
                assert_eq!(arrived.head.method, method, "{case}");
                assert_eq!(arrived.content().0, *content, "{case}");
                assert_eq!(
                    (
                        arrived.field("content-length"),
                        arrived.field("transfer-encoding")
                    ),
                    (*length, *coding),
                    "{case}"
                );
            }
        }
    }
}

/// RFC 9110, section 8.6: a POST without content says so, and a GET that says so may.
#[tokio::test]
async fn a_length_of_zero_arrives() {
    for door in DOORS {
        let origin = Origin::answering(OK).await;
        let proxy = Proxy::to(door, origin.address).await;
        for method in [Method::POST, Method::GET] {
            let message = Message {
                method,
                fields: vec![("content-length", "0")],
                body: Body::None,
            };
            assert_eq!(proxy.ask(message.clone()).await.status, 200);
            let arrived = origin.take().remove(0);
            assert_eq!(arrived.field("content-length"), Some("0"), "{door:?} {message:?}");
            assert_eq!(arrived.body, b"", "{door:?} {message:?}");
        }
    }
}

/// RFC 9110, section 10.1.1: the proxy answers the expectation, and the origin is not asked for it.
#[tokio::test]
async fn an_expectation_is_answered_here() {
    for door in DOORS.into_iter().filter(|door| !door.is_http_2()) {
        let origin = Origin::answering(OK).await;
        let proxy = Proxy::to(door, origin.address).await;
        let mut client = proxy
            .client_sending("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .await;
        assert_eq!(client.head().await.status, 100, "{door:?}");
        client.send("hello").await;
        assert_eq!(client.response().await.0.status, 200, "{door:?}");
        let arrived = origin.take().remove(0);
        assert_eq!(
            (arrived.field("expect"), &arrived.body[..]),
            (None, &b"hello"[..]),
            "{door:?}"
        );
    }
}

/// The Host of a request over HTTP/2 is its authority, which a layer that replaces the URI takes away.
#[tokio::test]
async fn the_path_is_rewritten_by_a_layer_in_front() {
    let whole = |mut request: Request| {
        *request.uri_mut() = "/other".parse().unwrap();
        request
    };
    let path_only = |mut request: Request| {
        let mut uri = request.uri().clone().into_parts();
        uri.path_and_query = Some("/other".parse().unwrap());
        *request.uri_mut() = http::Uri::from_parts(uri).unwrap();
        request
    };
    let host_first = |mut request: Request| {
        if let Some(authority) = request.uri().authority() {
            let host = authority.as_str().parse().unwrap();
            request.headers_mut().insert("host", host);
        }
        *request.uri_mut() = "/other".parse().unwrap();
        request
    };
    type Layer = fn(Request) -> Request;
    let layers: [(Layer, [u16; 2]); 3] = [
        (whole, [200, 400]),
        (path_only, [200, 200]),
        (host_first, [200, 200]),
    ];
    for (layer, statuses) in layers {
        for (door, status) in [Door::Mounted, Door::Mounted2].into_iter().zip(statuses) {
            let origin = Origin::answering(OK).await;
            let proxy = ReverseProxy::new(TcpConnect::to(origin.address.to_string()));
            let service = ServiceBuilder::new().map_request(layer).service(proxy);
            let proxy = Proxy::mounted(door, Router::new().fallback_service(service)).await;
            let message = Message {
                method: Method::GET,
                fields: Vec::new(),
                body: Body::None,
            };
            let answer = proxy.ask(message).await;
            assert_eq!(answer.status, status, "{door:?} {answer:?}");
            let arrived = origin.take();
            if status == 200 {
                assert_eq!(arrived[0].head.uri, "/other", "{door:?}");
                assert_eq!(arrived[0].field("host"), Some("a.example"), "{door:?}");
            } else {
                assert!(arrived.is_empty(), "{door:?}");
                assert!(answer.body.contains("names no authority"), "{answer:?}");
                assert!(answer.body.contains("A layer in front"), "{answer:?}");
            }
        }
    }
}
