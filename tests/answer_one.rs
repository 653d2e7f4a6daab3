//! `answer_one`: one ordinary request on a raw connection, answered by relays, by the caller, or by one after the other.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::service::{ClientBody, Destination, ProxyBody, Relay, RelayConfig, answer_one};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin};
use switchover::tunnel::Drain;
use tokio::net::TcpListener;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// The pieces of a body, each of which begins as a head does.
const LIKE_HEADS: [&str; 3] = ["HTTP/1.0 first", "HTTP/1.0 second\r\n\r\n", "HTTP/1.1 100 third"];

fn page(status: StatusCode, text: &str) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::from(text.to_owned()));
    *response.status_mut() = status;
    response
}

/// A body that is flushed before each of its pieces.
fn pieces(pieces: &'static [&'static str]) -> ProxyBody {
    let pieces = stream::iter(pieces).then(|piece| async {
        tokio::task::yield_now().await;
        Ok::<_, BoxError>(Frame::data(Bytes::from_static(piece.as_bytes())))
    });
    ProxyBody::new(StreamBody::new(pieces))
}

/// What the path asks for: `/own` is answered here, `/page` by the origin but for its errors, `/late` by the origin once the head of
/// the answer is out, `/pieces/` here with all that looks like a head in its body, all else by the origin.
async fn answer(
    request: Request<ClientBody>,
    relay: Relay,
    origin: SocketAddr,
    peer: SocketAddr,
) -> Response<ProxyBody> {
    let to = Destination::new(origin.to_string().parse().unwrap());
    let path = request.uri().path().to_owned();
    if path == "/own" {
        return page(StatusCode::OK, "own");
    }
    if let Some(version) = path.strip_prefix("/pieces/") {
        let mut response = Response::new(pieces(&LIKE_HEADS));
        let length = LIKE_HEADS.concat().len();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        // That of whatever has made it.
        *response.version_mut() = match version {
            "1.0" => Version::HTTP_10,
            "1.1" => Version::HTTP_11,
            _ => Version::HTTP_3,
        };
        return response;
    }
    if path == "/late" {
        let body = stream::once(async move {
            tokio::task::yield_now().await;
            let response = relay.respond(request, to, peer.into()).await;
            let body = response.into_body().collect().await?;
            Ok::<_, BoxError>(Frame::data(body.to_bytes()))
        });
        return Response::new(ProxyBody::new(StreamBody::new(body)));
    }
    let response = relay.respond(request, to, peer.into()).await;
    match path == "/page" && !response.status().is_success() {
        true => page(StatusCode::NOT_FOUND, "a page"),
        false => response,
    }
}

async fn start(origin: &ScriptedOrigin) -> SocketAddr {
    start_with(origin, RelayConfig::default()).await
}

async fn start_with(origin: &ScriptedOrigin, config: RelayConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, origin) = (listener.local_addr().unwrap(), origin.address());
    tokio::spawn(async move {
        let relay = Relay::new(RelayConfig::default());
        let acceptor = Acceptor::new(GatewayConfig::default());
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let (config, relay, acceptor) = (config.clone(), relay.clone(), acceptor.clone());
            tokio::spawn(async move {
                let mut accepted = acceptor.accept(stream, peer).await;
                while let Ok(Accepted::Ordinary(head, stream)) = accepted {
                    let answered = answer_one(stream, &head, &config, |request| {
                        answer(request, relay.clone(), origin, peer)
                    });
                    let Ok(answered) = answered.await else { return };
                    let Some(stream) = answered.stream else { return };
                    accepted = acceptor.resume(stream, peer).await;
                }
            });
        }
    });
    address
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n")
}

#[tokio::test]
async fn the_connection_goes_on_after_an_answer_of_any_kind() {
    let refused = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 7\r\n\r\nrefused";
    let script = Script::new()
        .read_head()
        .send(OK)
        .read_head()
        .send(refused)
        .read_head()
        .send(OK);
    let origin = ScriptedOrigin::start_with(move |_| script.clone()).await;
    let mut client = ScriptedClient::connect(start(&origin).await).await;
    for (path, status, text) in [
        ("/own", 200, "own"),
        ("/", 200, "hi"),
        ("/page", 404, "a page"),
        ("/", 200, "hi"),
        ("/own", 200, "own"),
    ] {
        client.send(get(path, "")).await;
        let (head, body) = client.response().await;
        assert_eq!(
            (head.status.as_u16(), &*String::from_utf8_lossy(&body)),
            (status, text),
            "{path}"
        );
        assert!(!head.headers.contains_key("connection"), "{head:?}");
    }
}

#[tokio::test]
async fn a_body_arrives_as_it_was_sent_whatever_it_looks_like() {
    let origin = ScriptedOrigin::start(Script::new()).await;
    let address = start(&origin).await;
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        for path in ["/pieces/1.1", "/pieces/1.0", "/pieces/3"] {
            let mut client = ScriptedClient::connect(address).await;
            client.send(get(path, "").replace("HTTP/1.1", version)).await;
            let (head, body) = client.response().await;
            assert_eq!(head.version, Version::HTTP_11, "{path} to {version}");
            assert_eq!(
                String::from_utf8_lossy(&body),
                LIKE_HEADS.concat(),
                "{path} to {version}"
            );
        }
    }
}

#[tokio::test]
async fn bytes_of_a_body_are_those_behind_the_last_head() {
    for (fields, body, before) in [
        ("", "", ""),
        (
            "Content-Length: 2\r\nExpect: 100-continue\r\n",
            "hi",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = ScriptedClient::connect(listener.local_addr().unwrap()).await;
        let (stream, peer) = listener.accept().await.unwrap();
        client.send(get("/", fields)).await;
        let acceptor = Acceptor::new(GatewayConfig::default());
        let Ok(Accepted::Ordinary(head, stream)) = acceptor.accept(stream, peer).await else {
            panic!("an ordinary request")
        };
        let config = RelayConfig::default();
        let answered = answer_one(stream, &head, &config, |request| async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            page(StatusCode::OK, &format!("{body:?}, and more"))
        });
        let asking = async {
            client.receives(before.as_bytes()).await;
            client.send(body).await;
            client.response().await
        };
        let (answered, (_, body)) = tokio::join!(answered, asking);
        let answered = answered.unwrap();
        assert_eq!(answered.body_bytes_sent, body.len() as u64, "{fields}");
        assert!(answered.bytes_sent > answered.body_bytes_sent, "{fields}");
    }
}

#[tokio::test]
async fn an_interim_response_that_comes_late_is_not_sent() {
    let answer = format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{OK}");
    let script = Script::new().read_head().send(answer);
    let origin = ScriptedOrigin::start(script).await;
    let mut client = ScriptedClient::connect(start(&origin).await).await;
    client.send(get("/late", "")).await;
    let (head, body) = client.response().await;
    assert_eq!(
        (head.status, &body[..]),
        (StatusCode::OK, &b"2\r\nhi\r\n0\r\n\r\n"[..])
    );
}

#[tokio::test]
async fn a_body_that_an_answer_does_not_wait_for_is_no_request() {
    let origin = ScriptedOrigin::start(Script::new()).await;
    let mut client = ScriptedClient::connect(start(&origin).await).await;
    let body = get("/own", "");
    client
        .send(get("/own", &format!("Content-Length: {}\r\n", body.len())) + &body + &get("/own", ""))
        .await;
    client.end_writes().await;
    let answers = String::from_utf8(client.rest().await).unwrap();
    let statuses: Vec<&str> = answers
        .lines()
        .filter(|line| line.starts_with("HTTP/1.1"))
        .collect();
    assert!(!statuses.is_empty() && statuses.len() <= 2, "{answers}");
    assert!(statuses.iter().all(|line| line.contains("200")), "{answers}");
}

#[tokio::test]
async fn an_upgrade_ends_with_its_answer() {
    let origin = ScriptedOrigin::start(Script::new()).await;
    let mut client = ScriptedClient::connect(start(&origin).await).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: example\r\n";
    client.send(get("/own", upgrade) + &get("/own", "")).await;
    let (head, _) = client.response().await;
    assert_eq!(head.headers["connection"], "close");
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn from_the_start_of_a_drain_each_answer_is_the_last() {
    let script = (0..2).fold(Script::new(), |script, _| script.read_head().send(OK));
    let origin = ScriptedOrigin::start_with(move |_| script.clone()).await;
    for path in ["/own", "/"] {
        let drain = Drain::new();
        let config = RelayConfig::default().drain(drain.clone());
        let mut client = ScriptedClient::connect(start_with(&origin, config).await).await;
        client.send(get(path, "")).await;
        let (head, _) = client.response().await;
        assert!(!head.headers.contains_key("connection"), "{path}: {head:?}");
        drain.complete_now();
        client.send(get(path, "")).await;
        let (head, _) = client.response().await;
        assert_eq!(head.headers["connection"], "close", "{path}");
        client.ends().await;
    }
}
