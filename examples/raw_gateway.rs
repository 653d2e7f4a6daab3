//! A gateway of one's own in front of one WebSocket server: a listener, a gateway, a line for each connection.
//!
//! ```text
//! cargo run --example raw_gateway -- 127.0.0.1:8080 127.0.0.1:9000
//! ```

use std::time::Duration;

use switchover::connect::TcpConnect;
use switchover::gateway::{Gateway, Outcome, next_connection};
use switchover::handshake::HandshakePolicy;
use switchover::tunnel::TunnelConfig;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut addresses = std::env::args().skip(1);
    let listen = addresses.next().unwrap_or("127.0.0.1:8080".to_owned());
    let upstream = addresses.next().unwrap_or("127.0.0.1:9000".to_owned());

    let gateway = Gateway::builder(TcpConnect::to(upstream))
        .policy(HandshakePolicy::default())
        .tunnel(TunnelConfig::default().idle_timeout(Duration::from_secs(75)))
        .build();
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (client, peer) = next_connection(&listener).await;
        let gateway = gateway.clone();
        tokio::spawn(async move {
            match gateway.serve(client, peer).await {
                Ok(Outcome::Tunnelled { protocol, traffic }) => println!("{peer} {protocol}: {traffic}"),
                Ok(Outcome::Rejected(why)) => println!("{peer}: {} {why}. {}", why.status(), why.hint()),
                Ok(Outcome::Declined(status)) => println!("{peer}: the origin said {status}"),
                Ok(Outcome::Ordinary(head, _stream)) => {
                    println!("{peer}: {} {} is no upgrade", head.method, head.uri);
                }
                Ok(_) => {}
                Err(error) => eprintln!("{peer}: {} failed, {}: {error}", error.side(), error.phase()),
            }
        });
    }
}
