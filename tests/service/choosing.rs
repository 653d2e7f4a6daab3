//! One closure chooses the upstream of each request, rewrites it, and may refuse it.

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue};
use http::request::Parts;
use switchover::TcpConnect;
use switchover::header::HeaderRules;
use switchover::service::{Refusal, ReverseProxy, UpgradeService};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};

use crate::servers::Mounted;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn to(origin: &ScriptedOrigin) -> TcpConnect {
    TcpConnect::to(origin.address().to_string())
}

/// The last segment of `/room/NAME`, and the rest of what the closure of an application does.
fn prepare(parts: &mut Parts) -> Result<String, Refusal> {
    let room = parts.uri.path().strip_prefix("/room/").map(str::to_owned);
    let room = room.ok_or(StatusCode::NOT_FOUND)?;
    if room == "private" {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "members only\n"));
    }
    parts.uri = "/socket?from=gateway".parse().unwrap();
    parts
        .headers
        .insert(AUTHORIZATION, HeaderValue::from_static("Bearer of-the-gateway"));
    let rules = HeaderRules::default().set_on_request("X-Room", &room);
    parts.extensions.insert(rules.unwrap());
    Ok(room)
}

fn upgrade(path: &str) -> String {
    UPGRADE_REQUEST.replacen("/chat", path, 1)
}

#[tokio::test]
async fn upgrades_by_a_closure() {
    let (red, blue) = (
        ScriptedOrigin::start(Script::websocket_echo()).await,
        ScriptedOrigin::start(Script::websocket_echo()).await,
    );
    let rooms = HashMap::from([
        ("red".to_owned(), UpgradeService::new(to(&red))),
        ("blue".to_owned(), UpgradeService::new(to(&blue))),
    ]);
    let service = UpgradeService::by(move |parts| {
        let room = prepare(parts)?;
        let chosen = rooms.get(&room).cloned();
        // Any response of the application's own.
        Ok(chosen.ok_or_else(|| (StatusCode::NOT_FOUND, "no room\n").into_response())?)
    });
    let mounted = Mounted::router(Router::new().fallback_service(service)).await;
    for (origin, room) in [(&red, "red"), (&blue, "blue")] {
        let mut client = mounted.client_sending(upgrade(&format!("/room/{room}"))).await;
        assert_eq!(client.head().await.status, 101);
        let head = origin.connection(0).await.head().await;
        assert!(
            head.starts_with("GET /socket?from=gateway HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(
            head.contains("Authorization: Bearer of-the-gateway\r\n"),
            "{head}"
        );
        assert!(head.contains(&format!("X-Room: {room}\r\n")), "{head}");
        assert!(head.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{head}");
    }
    for (path, status, text) in [
        ("/room/private", 403, "members only\n"),
        ("/room/green", 404, "no room\n"),
        ("/other", 404, "404 Not Found\n"),
    ] {
        // What follows a refused upgrade is no request.
        let mut client = mounted
            .client_sending(upgrade(path) + &upgrade("/room/red"))
            .await;
        let (head, body) = client.response().await;
        assert_eq!(
            (head.status.as_u16(), &body[..]),
            (status, text.as_bytes()),
            "{path}"
        );
        client.ends().await;
    }
    // An ordinary request that is refused leaves the connection as it is.
    let ordinary = "GET /other HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let mut client = mounted.client_sending(ordinary).await;
    for _ in 0..2 {
        assert_eq!(client.response().await.0.status, 404);
        client.send(ordinary).await;
    }
    assert_eq!((red.connections(), blue.connections()), (1, 1));
}

#[tokio::test]
async fn ordinary_requests_by_a_closure_use_the_connections_of_their_upstream_again() {
    let always = || (0..9).fold(Script::new(), |script, _| script.read_head().send(OK));
    let origin = ScriptedOrigin::start(always()).await;
    let proxy = ReverseProxy::new(to(&origin));
    let service = ReverseProxy::by(move |parts| prepare(parts).map(|_| proxy.clone()));
    let mounted = Mounted::router(Router::new().fallback_service(service)).await;
    for _ in 0..3 {
        let mut client = mounted
            .client_sending("GET /room/red HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .await;
        assert_eq!(client.response().await.1, b"hi");
    }
    assert_eq!((origin.connections(), origin.requests()), (1, 3));
    let head = origin.connection(0).await.head().await;
    assert!(
        head.starts_with("GET /socket?from=gateway HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains("X-Room: red\r\n"), "{head}");
}

type Rooms = HashMap<String, UpgradeService<TcpConnect>>;

async fn room(State(rooms): State<Rooms>, Path(name): Path<String>, request: Request) -> Response {
    match rooms.get(&name) {
        Some(service) => service.serve(request).await.into_response(),
        None => (StatusCode::NOT_FOUND, "no such room").into_response(),
    }
}

#[tokio::test]
async fn a_handler_calls_a_service() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let rooms: Rooms = HashMap::from([("red".to_owned(), UpgradeService::new(to(&origin)))]);
    let app = Router::new()
        .route("/room/{name}", axum::routing::any(room))
        .with_state(rooms);
    let mounted = Mounted::router(app).await;
    let mut client = mounted
        .client_sending(format!("{}hello", upgrade("/room/red")))
        .await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"hello").await;
    let mut client = mounted.client_sending(upgrade("/room/green")).await;
    assert_eq!(client.response().await.0.status, 404);
}
