//! An axum application with a login, three rooms on servers of their own, a status page, and an end in order.
//!
//! ```text
//! cargo run --example axum_rooms -- 127.0.0.1:8080 ws://127.0.0.1:9001 ws://127.0.0.1:9002 unix:/run/blue.sock
//! curl -i -X POST http://127.0.0.1:8080/login/ada
//! ```
//!
//! The rooms are `/room/red`, `/room/green` and `/room/blue`. All that is `switchover`'s stands in `rooms`, `status` and `serve`.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::routing::{get, post};
use switchover::header::{ForwardedRules, Forwarding};
use switchover::service::{Refusal, ServiceConfig, Shutdown, UpgradeService};
use switchover::tunnel::{Label, Schedule, Tunnels};
use switchover::upstream::{UrlConnector, UrlError};
use tokio::net::TcpListener;

const USER: HeaderName = HeaderName::from_static("x-forwarded-user");

/// `/room/NAME` goes to the server of the room, as `/socket`, with the name of the user. Others are refused.
fn rooms(urls: &[String], tunnels: &Tunnels) -> Result<Router<Tunnels>, UrlError> {
    // The application's own field: what a client sends under its name is replaced below.
    let forwarding = Forwarding::default().forwarded(ForwardedRules::default().keep([USER]));
    let config = ServiceConfig::default()
        .forwarding(forwarding)
        .tunnels(tunnels.clone())
        .on_end(|ended| println!("{}: {:?}", ended.protocol, ended.result));
    let mut rooms = HashMap::new();
    for (name, url) in ["red", "green", "blue"].into_iter().zip(urls) {
        let room = UpgradeService::new(UrlConnector::new().connector(url)?).config(config.clone());
        rooms.insert(format!("/room/{name}"), room);
    }
    let service = UpgradeService::by(move |parts| {
        let no_user = || Refusal::new(StatusCode::UNAUTHORIZED, "log in first\n");
        let user = user(&parts.headers).ok_or_else(no_user)?;
        let room = rooms.get(parts.uri.path()).ok_or(StatusCode::NOT_FOUND)?;
        let label = format!("{} in {}", user.to_str().unwrap_or_default(), parts.uri.path());
        parts.extensions.insert(Label::new(label));
        parts.headers.insert(USER, user);
        parts.uri = Uri::from_static("/socket");
        Ok(room.clone())
    });
    Ok(Router::new().route_service("/room/{name}", service))
}

/// Who is in which room, and how much they have sent and received. 503 when the application is about to end.
async fn status(State(tunnels): State<Tunnels>) -> (StatusCode, String) {
    let line = |tunnel: switchover::tunnel::TunnelWatch| {
        let who = tunnel.label::<String>().cloned().unwrap_or_default();
        let (sent, received) = (tunnel.from_downstream(), tunnel.from_upstream());
        format!("{who}: {sent} B sent, {received} B received\n")
    };
    let lines = tunnels.iter().map(line).collect();
    match tunnels.is_draining() {
        false => (StatusCode::OK, lines),
        true => (StatusCode::SERVICE_UNAVAILABLE, lines),
    }
}

/// Serves until Ctrl-C, then says so for a second, ends the tunnels, and then the server: within ten seconds.
async fn serve(listener: TcpListener, app: Router, tunnels: Tunnels) -> std::io::Result<()> {
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let ctrl_c = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let schedule = Schedule::default()
        .grace(Duration::from_secs(1))
        .spread(Duration::from_secs(2));
    let shutdown = Shutdown::new(tunnels)
        .schedule(schedule)
        .timeout(Duration::from_secs(7));
    let served = shutdown.serve(ctrl_c, |stop| {
        axum::serve(listener, service).with_graceful_shutdown(stop)
    });
    served.await.unwrap_or(Ok(()))
}

/// A real application asks for a password, and signs what it puts into the cookie.
async fn login(Path(user): Path<String>) -> Result<HeaderMap, StatusCode> {
    let is_name = !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let cookie =
        is_name.then(|| HeaderValue::try_from(format!("user={user}; HttpOnly; SameSite=Strict")).ok());
    let cookie = cookie.flatten().ok_or(StatusCode::BAD_REQUEST)?;
    Ok(HeaderMap::from_iter([(SET_COOKIE, cookie)]))
}

/// The user of the request's cookie.
fn user(headers: &HeaderMap) -> Option<HeaderValue> {
    let cookies = headers.get(COOKIE)?.to_str().ok()?;
    let user = cookies
        .split("; ")
        .find_map(|cookie| cookie.strip_prefix("user="))?;
    HeaderValue::from_str(user).ok()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, urls @ ..] = &arguments[..] else {
        return Err("usage: axum_rooms LISTEN RED GREEN BLUE".into());
    };
    let tunnels = Tunnels::new();
    let app = Router::new()
        .route("/", get(async || "rooms: red, green, blue\n"))
        .route("/login/{user}", post(login))
        .route("/status", get(status))
        .merge(rooms(urls, &tunnels)?)
        .with_state(tunnels.clone());
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(serve(listener, app, tunnels).await?)
}
