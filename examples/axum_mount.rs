//! An axum application with an upstream mounted in it: `/live` is tunnelled to a WebSocket server, `/app` is handed over
//! to a web server altogether, and everything else is axum's. Ctrl-C ends the tunnels in order.
//!
//! ```text
//! cargo run --release --example axum_mount -- 127.0.0.1:8080 127.0.0.1:9000
//! ```
//!
//! Browsers speak HTTP/2 over TLS only; `http2_websocket` shows that.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use axum::serve::{Listener, ListenerExt};
use switchover::TcpConnect;
use switchover::service::{ReverseProxy, ServiceConfig, Shutdown, UpgradeService};
use switchover::tunnel::{Schedule, Tunnels};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or("127.0.0.1:8080".to_owned());
    let upstream = arguments.next().unwrap_or("127.0.0.1:9000".to_owned());

    let tunnels = Tunnels::new();
    let config = ServiceConfig::default()
        .tunnels(tunnels.clone())
        .on_end(|ended| match ended.result {
            Ok(traffic) => println!("{}: {traffic}", ended.protocol),
            Err(error) => println!("{}: {} {}: {error}", ended.protocol, error.side(), error.phase()),
        });
    let live = UpgradeService::new(TcpConnect::to(&upstream)).config(config.clone());
    let everything = ReverseProxy::new(TcpConnect::to(&upstream)).config(config);
    let app = Router::new()
        .route("/", get(|| async { "this page is axum's\n" }))
        .route_service("/live/{*rest}", live)
        .nest_service("/app", everything);

    // A message must not wait for the next one to fill a segment.
    let listener = TcpListener::bind(listen).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    println!("listening on {}", listener.local_addr()?);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let open = tunnels.clone();
    let ctrl_c = async move {
        let _ = tokio::signal::ctrl_c().await;
        println!("{} tunnels are open", open.len());
    };
    let schedule = Schedule::default()
        .grace(Duration::from_secs(1))
        .spread(Duration::from_secs(2));
    let served = Shutdown::new(tunnels).schedule(schedule).serve(ctrl_c, |stop| {
        axum::serve(listener, service).with_graceful_shutdown(stop)
    });
    served.await.unwrap_or(Ok(()))
}
