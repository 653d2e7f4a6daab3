//! What a tunnel costs: the size of its future, the time that its neighbours wait.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use switchover::tunnel::{Rewind, Run, Tunnel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

type Endless = FaultyStream<tokio::io::Join<tokio::io::Repeat, tokio::io::Sink>>;

/// An endless source and a bottomless sink: never pending, as far as tokio's own budget lasts.
fn endless() -> Endless {
    FaultyStream::new(tokio::io::join(tokio::io::repeat(7), tokio::io::sink()))
}

#[test]
fn one_poll_moves_a_bounded_amount() {
    // Outside a runtime there is no budget but the tunnel's own.
    let (near, far) = (endless(), endless());
    let watches = [near.watch(), far.watch()];
    let mut run = pin!(Tunnel::new(near, far).config(unlimited()).run());
    assert!(
        run.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    assert_eq!(watches.map(|watch| watch.read()), [16 * SCRATCH_SIZE; 2]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_bulk_tunnel_does_not_starve_a_chatty_one() {
    let (near, far) = (endless(), endless());
    let watch = near.watch();
    // Exempt from tokio's budget: only the tunnel itself can give way.
    let bulk = tokio::spawn(tokio::task::unconstrained(Tunnel::new(near, far).run()));

    let (mut client, downstream) = tcp_pair().await;
    let (upstream, mut origin) = tcp_pair().await;
    tokio::spawn(Tunnel::new(downstream, upstream).run());
    let before = watch.read();
    for _ in 0..10 {
        client.write_all(b"ping").await.unwrap();
        origin.read_exact(&mut [0; 4]).await.unwrap();
        origin.write_all(b"pong").await.unwrap();
        client.read_exact(&mut [0; 4]).await.unwrap();
    }
    // Counted in the other's bytes, not in time, so that a slow machine proves the same. Four hops, each of which has
    // to wait for the bulk tunnel's turn to end once or twice.
    let meanwhile = (watch.read() - before) / 10;
    assert!(
        meanwhile <= 20 * 16 * SCRATCH_SIZE,
        "{meanwhile} bytes in one round trip"
    );
    assert!(!bulk.is_finished());
    bulk.abort();
}
