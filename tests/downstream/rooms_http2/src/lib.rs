//! An app whose rooms are servers on Unix sockets in one folder: `/room/NAME` goes to `NAME.sock`. A closure chooses, and refuses
//! what is no name. The app ends in time, with tunnels open over HTTP/1.1 or HTTP/2.

#![forbid(unsafe_code)]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use switchover::connect::UnixConnect;
use switchover::service::{Refusal, ServiceConfig, Shutdown, UpgradeService};
use switchover::tunnel::{Schedule, Tunnels};
use tokio::net::TcpListener;

/// The app.
#[derive(Clone, Debug)]
pub struct App {
    /// Where the sockets are.
    pub folder: PathBuf,
    /// The tunnels to all rooms.
    pub tunnels: Tunnels,
}

impl App {
    /// A page, and the rooms.
    pub fn router(&self) -> Router {
        let config = ServiceConfig::default().tunnels(self.tunnels.clone());
        let folder = self.folder.clone();
        let rooms = UpgradeService::by(move |parts| {
            let name = parts.uri.path().trim_start_matches("/room/");
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
            if !is_name {
                return Err(Refusal::new(StatusCode::NOT_FOUND, "no such room\n"));
            }
            let socket = UnixConnect::to(folder.join(format!("{name}.sock")));
            Ok(UpgradeService::new(socket).config(config.clone()))
        });
        Router::new()
            .route("/", get(async || "rooms\n"))
            .route_service("/room/{name}", rooms)
    }

    /// Serves until `end` completes, and then ends the tunnels and the server. True if all has ended within a second.
    ///
    /// # Errors
    ///
    /// As `axum::serve`.
    pub async fn serve(
        &self,
        listener: TcpListener,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<bool> {
        let service = self.router().into_make_service_with_connect_info::<SocketAddr>();
        let shutdown = Shutdown::new(self.tunnels.clone())
            .schedule(Schedule::default())
            .timeout(Duration::from_secs(1));
        let served = shutdown.serve(end, |stop| {
            axum::serve(listener, service).with_graceful_shutdown(stop)
        });
        served.await.map_or(Ok(false), |served| served.map(|()| true))
    }
}
