//! A gateway that ends TLS: clients come by `wss`, and the server behind it need not know. HTTP/1.1 on both sides.
//!
//! ```text
//! cargo run --example tls_gateway -- 127.0.0.1:8443 127.0.0.1:9000 chain.pem key.pem
//! cargo run --example tls_gateway -- 127.0.0.1:8443 chat.example:443 chain.pem key.pem --upstream-ca roots.pem
//! ```
//!
//! The second speaks TLS to the server as well, and believes it by these roots alone.

use std::error::Error;
use std::fs::read;

use switchover::gateway::next_connection;
use switchover::header::Hop;
use switchover::tls::{TlsAcceptError, TlsAcceptor, TlsClientConfig, TlsConnect, TlsServerConfig};
use switchover::{Connect, Gateway, Outcome, TcpConnect};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (places, roots) = match &arguments[..] {
        [places @ .., flag, roots] if flag == "--upstream-ca" => (places, Some(roots)),
        places => (places, None),
    };
    let [listen, upstream, chain, key] = places else {
        return Err("usage: tls_gateway LISTEN UPSTREAM CHAIN.pem KEY.pem [--upstream-ca ROOTS.pem]".into());
    };
    let acceptor = TlsAcceptor::new(TlsServerConfig::from_pem(read(chain)?, read(key)?)?);
    let listener = TcpListener::bind(listen).await?;
    match roots {
        None => serve(listener, acceptor, TcpConnect::to(upstream)).await,
        Some(roots) => {
            let tls = TlsClientConfig::builder().only_roots(read(roots)?).build()?;
            serve(listener, acceptor, TlsConnect::to(upstream, tls)?).await
        }
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connect: impl Connect + 'static,
) -> Result<(), Box<dyn Error>> {
    let gateway = Gateway::builder(connect).build();
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (client, peer) = next_connection(&listener).await;
        let (acceptor, gateway) = (acceptor.clone(), gateway.clone());
        // The handshake is in the task too: a client that dawdles over it holds up no other.
        tokio::spawn(async move {
            let stream = match acceptor.accept(client).await {
                Ok(stream) => stream,
                Err(TlsAcceptError::Closed) => return,
                Err(error) => return println!("{peer}: {error}"),
            };
            // The server learns that the client came by TLS.
            match gateway.serve(stream, Hop::from(peer).tls(true)).await {
                Ok(Outcome::Tunnelled { protocol, traffic }) => println!("{peer} {protocol}: {traffic}"),
                Ok(Outcome::Rejected(why)) => println!("{peer}: {} {why}. {}", why.status(), why.hint()),
                Ok(Outcome::Declined(status)) => println!("{peer}: the server said {status}"),
                Ok(_) => println!("{peer}: no upgrade"),
                Err(error) => println!("{peer}: {} failed, {}: {error}", error.side(), error.phase()),
            }
        });
    }
}
