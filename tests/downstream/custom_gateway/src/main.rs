//! `cargo run -- 127.0.0.1:8080 /chat=127.0.0.1:9000,127.0.0.1:9001 /feed=127.0.0.1:9100`

use std::error::Error;
use std::time::Duration;

use custom_gateway::{Server, Upstreams};
use switchover::gateway::GatewayConfig;
use switchover::handshake::HandshakePolicy;
use switchover::tunnel::{Cap, Drain, PeerCap, Schedule, TunnelConfig};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments
        .next()
        .ok_or("usage: custom_gateway ADDRESS PATH=ADDRESS[,ADDRESS]...")?;
    let mut upstreams = Upstreams::default();
    for argument in arguments {
        let (prefix, addresses) = argument
            .split_once('=')
            .ok_or("a path is PATH=ADDRESS[,ADDRESS]...")?;
        upstreams = upstreams.path(prefix, &addresses.split(',').collect::<Vec<_>>())?;
    }

    let policy = HandshakePolicy::default()
        .allow_origin(format!("http://{listen}").parse()?)
        .allow_missing_origin(true);
    let config = GatewayConfig::default()
        .policy(policy)
        .tunnel(TunnelConfig::default().idle_timeout(Duration::from_secs(75)))
        .cap(Cap::new(10_000))
        .peer_cap(PeerCap::new(100));

    let (sender, mut lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            println!("{line}");
        }
    });

    let drain = Drain::new();
    let server = Server::new(config, upstreams, drain.clone(), sender);
    tokio::spawn(async move {
        // A gateway that cannot hear Ctrl-C ends by it all the same.
        if tokio::signal::ctrl_c().await.is_ok() {
            drain.start(Schedule::default().spread(Duration::from_secs(10)));
        }
    });
    server.run(TcpListener::bind(listen).await?).await?;
    Ok(())
}
