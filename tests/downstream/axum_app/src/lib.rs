//! An app with pages of its own, a chat server behind a login at `/live`, and an old application below `/old`.
//!
//! The upgrades are `switchover`'s, the login and everything else is axum's: a request has passed the middleware before
//! any upstream hears of it.

#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::COOKIE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use switchover::handshake::Rejection;
use switchover::service::{ReverseProxy, ServiceConfig, UpgradeService};
use switchover::tunnel::{Cap, Schedule, TunnelConfig, Tunnels};
use switchover::{TcpConnect, UpgradeConfig};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;

/// The app, and what has to end when it does.
#[derive(Clone)]
pub struct App {
    /// Where the chat server is.
    pub chat: String,
    /// Where the old application is.
    pub old: String,
    /// What the cookie `session` of a visitor who has logged in says.
    pub session: String,
    /// The time over which the tunnels are sent away when the app ends.
    pub spread: Duration,
    /// One line for each tunnel that has ended, and for each request that was refused.
    pub log: UnboundedSender<String>,
    pub tunnels: Tunnels,
}

impl App {
    pub fn router(&self) -> Router {
        let log = self.log.clone();
        let upgrades = UpgradeConfig::default()
            .tunnel(TunnelConfig::default().idle_timeout(Duration::from_secs(75)))
            .cap(Cap::new(10_000));
        let config = ServiceConfig::default()
            .upgrade(upgrades)
            .tunnels(self.tunnels.clone())
            .on_end(move |ended| {
                // Nobody may be reading the log.
                let _ = log.send(match ended.result {
                    Ok(traffic) if ended.taken_back => format!("{}: {traffic}", ended.protocol),
                    // At the cost of hyper's buffers.
                    Ok(traffic) => format!("{}: {traffic}, through hyper", ended.protocol),
                    Err(error) => format!("{}: {} failed: {error}", ended.protocol, error.side()),
                });
            });

        let chat = UpgradeService::new(TcpConnect::to(&self.chat)).config(config.clone());
        let old = ReverseProxy::new(TcpConnect::to(&self.old)).config(config);
        Router::new()
            .route_service("/live/{*room}", chat)
            .route_layer(middleware::from_fn_with_state(self.clone(), logged_in))
            .nest_service("/old", old)
            .route("/", get(async || "the app's own page"))
            .route("/ready", get(ready))
            .layer(middleware::map_response_with_state(self.clone(), explained))
            .with_state(self.clone())
    }

    /// Serves until `end` completes, then lets nobody in, and returns when the last tunnel has ended.
    ///
    /// # Errors
    ///
    /// As `axum::serve`.
    pub async fn serve(
        &self,
        listener: TcpListener,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let (tunnels, schedule) = (self.tunnels.clone(), Schedule::default().spread(self.spread));
        let service = self.router().into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service)
            .with_graceful_shutdown(async move {
                end.await;
                tunnels.drain(schedule);
            })
            .await?;
        // A connection that was upgraded is none of the server's, which has not waited for it.
        self.tunnels.finished().await;
        Ok(())
    }
}

async fn logged_in(State(app): State<App>, request: Request, next: Next) -> Response {
    let expected = format!("session={}", app.session);
    let cookies = request.headers().get_all(COOKIE).iter();
    let mut cookies = cookies
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split("; "));
    match cookies.any(|cookie| cookie == expected) {
        true => next.run(request).await,
        false => (StatusCode::UNAUTHORIZED, "log in first\n").into_response(),
    }
}

async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    match app.tunnels.is_draining() {
        false => (StatusCode::OK, "ready\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

/// The reason why an upgrade was refused or has failed is with the response, for logs like this one.
async fn explained(State(app): State<App>, response: Response) -> Response {
    let extensions = response.extensions();
    let reason = match extensions.get::<Rejection>() {
        Some(rejection) => Some(format!("{rejection}. {}", rejection.hint())),
        None => extensions
            .get::<std::sync::Arc<switchover::Error>>()
            .map(|error| format!("{} failed, {}: {error}", error.side(), error.phase())),
    };
    if let Some(reason) = reason {
        let _ = app.log.send(format!("{}: {reason}", response.status()));
    }
    response
}
