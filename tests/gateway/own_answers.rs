//! Answers of the caller's own, to ordinary requests and to upgrades: whole, and the last ones on their connections.

use http::{Response, StatusCode};
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::handshake::Rejection;
use switchover::test_util::{ScriptedClient, UPGRADE_REQUEST};
use switchover::tunnel::Cap;
use tokio::net::{TcpListener, TcpStream};

/// A client that has sent these bytes, and what an acceptor makes of them.
async fn accept(acceptor: &Acceptor, bytes: impl AsRef<[u8]>) -> (ScriptedClient, Accepted<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = ScriptedClient::connect(listener.local_addr().unwrap()).await;
    client.send(bytes).await;
    let (stream, peer) = listener.accept().await.unwrap();
    (client, acceptor.accept(stream, peer).await.unwrap())
}

fn response(status: u16, fields: &[(&'static str, &'static str)], body: &str) -> Response<String> {
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    response
}

#[tokio::test]
async fn to_an_ordinary_request() {
    let acceptor = Acceptor::new(GatewayConfig::default());
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let cases = [
        (
            get.to_owned(),
            response(200, &[("content-type", "text/plain")], "ready\n"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 6\r\n\r\nready\n",
        ),
        (
            get.replace("GET", "HEAD"),
            response(503, &[], "draining\n"),
            "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 9\r\n\r\n",
        ),
        (
            get.to_owned(),
            response(204, &[("content-length", "3")], "abc"),
            "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        ),
        (
            // Neither a body that nobody reads, nor a request behind it, is answered.
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello{get}"),
            response(
                200,
                &[
                    ("connection", "keep-alive"),
                    ("transfer-encoding", "chunked"),
                    ("content-length", "99"),
                ],
                "0\r\n\r\n",
            ),
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        ),
    ];
    for (request, response, expected) in cases {
        let (mut client, accepted) = accept(&acceptor, &request).await;
        let Accepted::Ordinary(head, stream) = accepted else {
            panic!("{request:?}: {accepted:?}")
        };
        let respond = acceptor.respond(stream, &head, response);
        let (responded, bytes) = tokio::join!(respond, async {
            let bytes = client.rest().await;
            drop(client);
            bytes
        });
        responded.unwrap();
        let fields = |text: &str| {
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            let lines = head.split("\r\n").filter(|line| !line.starts_with("Date: "));
            let mut lines: Vec<String> = lines.map(str::to_owned).collect();
            lines.sort();
            (lines, body.to_owned())
        };
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(fields(&text), fields(expected), "{request:?}");
        assert_eq!(text.matches("\r\nDate: ").count(), 1, "{text:?}");
    }
}

#[tokio::test]
async fn to_an_upgrade() {
    let cap = Cap::new(1);
    let acceptor = Acceptor::new(GatewayConfig::default().cap(cap.clone()));
    let challenge = [("www-authenticate", "Bearer")];
    for (own, connection) in [
        (response(401, &challenge, "who are you?\n"), "close"),
        (
            response(426, &[("upgrade", "chat/2")], "another one, please\n"),
            "close, upgrade",
        ),
    ] {
        let (status, text) = (own.status(), own.body().clone());
        let (mut client, accepted) = accept(&acceptor, format!("{UPGRADE_REQUEST}early bytes")).await;
        let Accepted::Upgrade(incoming) = accepted else {
            panic!("{accepted:?}")
        };
        assert_eq!(cap.open(), 1);
        let (responded, (head, body)) = tokio::join!(incoming.respond(own), async {
            let answer = client.response().await;
            client.ends().await;
            drop(client);
            answer
        });
        responded.unwrap();
        assert_eq!((head.status, body), (status, text.into_bytes()));
        assert_eq!(head.headers["connection"], connection);
        assert_eq!(cap.open(), 0);
    }
}

/// What the function makes of the answer, and no more: how it is framed is for the acceptor to say.
#[tokio::test]
async fn to_a_request_that_is_refused() {
    let changing = |acceptor: Acceptor| {
        acceptor.on_rejection(|why, head, response| {
            let target = head.map_or("none", |head| head.uri.path()).to_owned();
            let headers = response.headers_mut();
            for (name, value) in [
                ("x-why", why.name()),
                ("x-target", &*target),
                ("connection", "keep-alive"),
                ("transfer-encoding", "chunked"),
                ("content-length", "99"),
            ] {
                headers.insert(name, value.parse().unwrap());
            }
            if *why == Rejection::KeyMissing {
                *response.status_mut() = StatusCode::IM_A_TEAPOT;
                "a page\n".clone_into(response.body_mut());
            }
        })
    };
    let acceptor = changing(Acceptor::new(GatewayConfig::default()));
    let keyless = UPGRADE_REQUEST.replace("Sec-WebSocket-Key", "X-Key");
    let old = UPGRADE_REQUEST.replace("Version: 13", "Version: 12");
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", 400, "host-missing", "none", "close"),
        (&*keyless, 418, "key-missing", "/chat", "close"),
        (&*old, 426, "version-unsupported", "/chat", "close, upgrade"),
    ];
    for (request, status, why, target, connection) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = ScriptedClient::connect(listener.local_addr().unwrap()).await;
        client.send(request).await;
        let (stream, peer) = listener.accept().await.unwrap();
        let (accepted, (head, body)) = tokio::join!(acceptor.accept(stream, peer), async {
            let answer = client.response().await;
            client.ends().await;
            drop(client);
            answer
        });
        assert!(matches!(accepted.unwrap(), Accepted::Rejected(..)), "{request:?}");
        let field = |name: &str| head.headers[name].to_str().unwrap().to_owned();
        let given = (
            head.status.as_u16(),
            field("x-why"),
            field("x-target"),
            field("connection"),
        );
        let expected = (status, why.to_owned(), target.to_owned(), connection.to_owned());
        assert_eq!(given, expected, "{request:?}");
        assert_eq!(field("content-length"), body.len().to_string(), "{request:?}");
        assert!(!head.headers.contains_key("transfer-encoding"), "{request:?}");
        assert_eq!(status == 418, body == b"a page\n", "{request:?}");
    }
    // The caller's own refusal too.
    let (mut client, accepted) = accept(&acceptor, "GET /own HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let Accepted::Ordinary(head, stream) = accepted else {
        panic!("{accepted:?}")
    };
    let (rejected, (answer, _)) = tokio::join!(acceptor.reject(stream, &head, Rejection::NoRoute), async {
        let answer = client.response().await;
        drop(client);
        answer
    });
    rejected.unwrap();
    assert_eq!(answer.headers["x-why"], "no-route");
    assert_eq!(answer.headers["x-target"], "/own");
}
