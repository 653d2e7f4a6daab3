//! What a tunnel costs: the size of its future, the patience of its neighbours.

use switchover::tunnel::{Rewind, Run, Tunnel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::*;

#[test]
fn the_future_is_small() {
    let size = size_of::<Run<TcpStream, TcpStream>>();
    assert!(size < 600, "{size} bytes");
}

#[tokio::test]
async fn the_future_that_is_polled_is_the_one_that_was_measured() {
    let ((_one, near), (far, _other)) = (tcp_pair().await, tcp_pair().await);
    let run = Tunnel::new(near, far).run();
    assert_eq!(size_of_val(&run), size_of::<Run<TcpStream, TcpStream>>());
}

#[test]
fn tunnels_can_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Run<TcpStream, Rewind<TcpStream>>>();
    is_send::<Tunnel<TcpStream, Memory>>();
}

#[tokio::test(flavor = "current_thread")]
async fn a_bulk_tunnel_does_not_starve_a_chatty_one() {
    // An endless source and a bottomless sink, exempt from tokio's own budget: only the tunnel can give way.
    let endless = || tokio::io::join(tokio::io::repeat(7), tokio::io::sink());
    let bulk = tokio::spawn(tokio::task::unconstrained(
        Tunnel::new(endless(), endless()).run(),
    ));

    let (mut client, downstream) = tcp_pair().await;
    let (upstream, mut origin) = tcp_pair().await;
    tokio::spawn(Tunnel::new(downstream, upstream).run());
    let started = Instant::now();
    for _ in 0..20 {
        client.write_all(b"ping").await.unwrap();
        origin.read_exact(&mut [0; 4]).await.unwrap();
        origin.write_all(b"pong").await.unwrap();
        client.read_exact(&mut [0; 4]).await.unwrap();
    }
    let round_trip = started.elapsed() / 20;
    assert!(round_trip < milliseconds(50), "{round_trip:?}");
    assert!(!bulk.is_finished());
    bulk.abort();
}
