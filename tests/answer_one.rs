//! `answer_one`: one ordinary request on a raw connection, answered by relays, by the caller, or by one after the other.

use std::net::SocketAddr;

use http::{Request, Response, StatusCode};
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::service::{ClientBody, Destination, ProxyBody, Relay, RelayConfig, answer_one};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin};
use switchover::tunnel::Drain;
use tokio::net::TcpListener;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn page(status: StatusCode, text: &str) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::from(text.to_owned()));
    *response.status_mut() = status;
    response
}

/// What the path asks for: `/own` is answered here, `/page` by the origin but for its errors, all else by the origin.
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
