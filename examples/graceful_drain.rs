//! A gateway that ends well: on SIGTERM or Ctrl-C it says so to the load balancer, admits nobody more, sends its
//! tunnels away one by one, and exits when the last one has ended.
//!
//! ```text
//! cargo run --example graceful_drain -- 127.0.0.1:8080 127.0.0.1:9000 [seconds of notice] [seconds of spread]
//! curl -i http://127.0.0.1:8080/ready
//! ```

use std::io;
use std::time::Duration;

use http::{Response, StatusCode, request};
use switchover::gateway::next_connection;
use switchover::tunnel::{Cap, Drain, Rewind, Schedule, TunnelConfig};
use switchover::{Error, Gateway, Outcome, TcpConnect};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

/// How long a tunnel may still deliver what it has read when its turn to end has come.
const LINGER: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or(default.to_owned());
    let seconds = |text: String| text.parse().map(Duration::from_secs).map_err(io::Error::other);
    let (notice, spread) = (seconds(argument(2, "5"))?, seconds(argument(3, "30"))?);

    let gateway = Gateway::builder(TcpConnect::to(argument(1, "127.0.0.1:9000")))
        .tunnel(TunnelConfig::default().half_close_timeout(LINGER))
        .build();
    let (drain, open) = (Drain::new(), Cap::unlimited());
    // Caught before anyone can know that the gateway is there, and end it.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(argument(0, "127.0.0.1:8080")).await?;
    println!("listening on {}", listener.local_addr()?);

    let reported = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // From now on /ready says no. Until the balancer has asked and taken that in, it sends clients, and they are served.
        drain.start(Schedule::default().grace(notice).spread(spread));
        sleep(notice).await;
    };
    tokio::select! {
        () = accept(listener, &gateway, &drain, &open) => {}
        () = reported => {}
    }
    // The listener is gone with the future that held it.
    println!("draining {} connections", open.open());
    let limit = spread + LINGER + Duration::from_secs(1);
    if timeout(limit, open.emptied()).await.is_err() {
        println!("leaving {} connections behind", open.open());
    }
    Ok(())
}

async fn accept(listener: TcpListener, gateway: &Gateway<TcpConnect>, drain: &Drain, open: &Cap) {
    loop {
        let (client, peer) = next_connection(&listener).await;
        let (gateway, drain, permit) = (gateway.clone(), drain.clone(), open.try_acquire());
        tokio::spawn(async move {
            match gateway.serve_until(client, peer, drain.signal()).await {
                Ok(Outcome::Tunnelled { protocol, traffic }) => println!("{peer} {protocol}: {traffic}"),
                Ok(Outcome::Ordinary(head, stream)) => {
                    // The asking client may have left meanwhile, and needs no answer then.
                    let _ = answer(&gateway, &head, stream, drain.has_started()).await;
                }
                Ok(_) => {}
                Err(error) => println!("{peer}: {} failed, {}: {error}", error.side(), error.phase()),
            }
            // Not open any more. Moved in here, it is dropped also if the task is.
            drop(permit);
        });
    }
}

async fn answer(
    gateway: &Gateway<TcpConnect>,
    head: &request::Parts,
    stream: Rewind<TcpStream>,
    draining: bool,
) -> Result<(), Error> {
    let (status, text) = match (head.uri.path(), draining) {
        ("/ready", false) => (StatusCode::OK, "ready\n"),
        ("/ready", true) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        _ => (StatusCode::NOT_FOUND, "only WebSocket is spoken here\n"),
    };
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    gateway.acceptor().respond(stream, head, response).await
}
