//! Turns layer 7 forwarding into layer 4: a TCP relay with deadlines, half-close, resets and an orderly drain on Ctrl-C.
//!
//! `cargo run --release --example tunnel_only -- 127.0.0.1:8080 127.0.0.1:9000`

use std::time::Duration;

use switchover::gateway::next_connection;
use switchover::tunnel::{Tunnel, TunnelConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, upstream] = arguments.as_slice() else {
        eprintln!("usage: tunnel_only <listen address> <upstream address>");
        std::process::exit(2);
    };
    let listener = TcpListener::bind(listen).await?;
    let config = TunnelConfig::default().idle_timeout(Duration::from_secs(75));
    // Every tunnel holds a receiver, so the sender also knows when the last one has ended.
    let (draining, _) = watch::channel(false);

    loop {
        let (client, peer) = tokio::select! {
            accepted = next_connection(&listener) => accepted,
            _ = tokio::signal::ctrl_c() => break,
        };
        let (upstream, config, mut drain) = (upstream.clone(), config.clone(), draining.subscribe());
        tokio::spawn(async move {
            let backend = match TcpStream::connect(&upstream).await {
                Ok(backend) => backend,
                Err(error) => return eprintln!("{peer}: {upstream}: {error}"),
            };
            // Small messages go out at once; a failure to say so costs time, not bytes.
            let _ = backend.set_nodelay(true);
            let drain = async move {
                let _ = drain.wait_for(|draining| *draining).await;
            };
            match Tunnel::new(client, backend)
                .config(config)
                .drain(drain)
                .run()
                .await
            {
                Ok(traffic) => println!("{peer}: {traffic}"),
                Err(error) => println!("{peer}: {error}: {}; {}", error.io_error(), error.traffic()),
            }
        });
    }

    draining.send_replace(true);
    draining.closed().await;
    Ok(())
}
