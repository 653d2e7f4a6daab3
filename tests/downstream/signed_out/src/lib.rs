//! An app with WebSockets of its users: one that is signed out loses all of its own at once, and one whose token expires loses them
//! then, unless the token is renewed.

#![forbid(unsafe_code)]

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use switchover::service::{ServiceConfig, UpgradeService};
use switchover::tunnel::{EndRequest, Label, TunnelWatch, Tunnels, WebSocketConfig};
use switchover::websocket::CloseCode;
use switchover::{TcpConnect, UpgradeConfig};
use tokio::time::Instant;

/// The app.
#[derive(Clone, Debug)]
pub struct App {
    /// Where the chat server is.
    pub chat: String,
    /// How long a token is valid.
    pub validity: Duration,
    /// The tunnels of all users.
    pub tunnels: Tunnels,
}

/// Whose a tunnel is. A real app would find it by a session; this one believes the field `user`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User(String);

impl App {
    /// `/live` for the chat, and what a page calls to sign a user out or to renew a token.
    pub fn router(&self) -> Router {
        let upgrades = UpgradeConfig::default()
            .websocket(WebSocketConfig::default().close_timeout(Duration::from_millis(100)))
            .tunnels(self.tunnels.clone());
        let validity = self.validity;
        let config = ServiceConfig::default()
            .upgrade(upgrades)
            .on_start(move |started| {
                if let Some(watch) = started.watch {
                    watch.expire_at(Instant::now() + validity);
                }
            });
        let chat = UpgradeService::new(TcpConnect::to(&self.chat)).config(config);
        Router::new()
            .route_service("/live", chat)
            .route_layer(middleware::from_fn(labelled))
            .route("/sign-out/{user}", post(sign_out))
            .route("/renew/{user}", post(renew))
            .with_state(self.clone())
    }

    fn of(&self, user: String) -> impl FnMut(&TunnelWatch) -> bool {
        let user = User(user);
        move |tunnel| tunnel.label::<User>() == Some(&user)
    }
}

async fn labelled(mut request: Request, next: Next) -> Response {
    let Some(user) = request.headers().get("user").and_then(|user| user.to_str().ok()) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let label = Label::new(User(user.to_owned()));
    request.extensions_mut().insert(label);
    next.run(request).await
}

async fn sign_out(State(app): State<App>, Path(user): Path<String>) -> Response {
    match EndRequest::close(CloseCode(4001), "signed out") {
        Ok(request) => {
            let ended = app.tunnels.end_where(app.of(user), &request, Duration::ZERO);
            format!("{ended}\n").into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn renew(State(app): State<App>, Path(user): Path<String>) -> StatusCode {
    let mut is_of = app.of(user);
    for tunnel in app.tunnels.iter().filter(|tunnel| is_of(tunnel)) {
        tunnel.expire_at(Instant::now() + Duration::from_secs(3600));
    }
    StatusCode::NO_CONTENT
}
