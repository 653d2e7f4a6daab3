//! A watch shows one tunnel, and ends one tunnel.

use switchover::test_util::fault::{self, Faults};
use switchover::tunnel::{Drain, End, Schedule, Tunnel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::{seconds, table};

#[tokio::test(start_paused = true)]
async fn it_counts_while_the_tunnel_runs_and_keeps_what_it_counted() {
    let (mut client, mut tunnel, mut origin) = table();
    let watch = tunnel.watch();
    let made_at = Instant::now();
    assert_eq!((watch.from_downstream(), watch.from_upstream()), (0, 0));
    let tunnel = tokio::spawn(tunnel.leftovers("12".into(), "".into()).run());
    for round in 1..=3 {
        sleep(seconds(10)).await;
        client.write_all(b"ping").await.unwrap();
        origin.write_all(b"pong!").await.unwrap();
        client.read_exact(&mut [0; 5]).await.unwrap();
        sleep(seconds(5)).await;
        assert_eq!(
            (watch.from_downstream(), watch.from_upstream()),
            (2 + 4 * round, 5 * round)
        );
        assert_eq!(watch.last_activity(), made_at + seconds(15 * round - 5));
        assert_eq!(watch.last_activity().elapsed(), seconds(5));
        assert!(watch.is_open());
    }
    drop((client, origin));
    let traffic = tunnel.await.unwrap().unwrap();
    assert!(!watch.is_open());
    assert_eq!(
        (watch.from_downstream(), watch.from_upstream()),
        (traffic.from_downstream(), traffic.from_upstream())
    );
}

#[tokio::test(start_paused = true)]
async fn it_ends_one_tunnel_while_another_goes_on() {
    let (mut client, mut tunnel, mut origin) = table();
    let (mut other_client, other_tunnel, mut other_origin) = table();
    let watch = tunnel.watch();
    let drain = Drain::new();
    let tunnel = tokio::spawn(tunnel.drain(drain.signal()).run());
    let other = tokio::spawn(other_tunnel.drain(drain.signal()).run());
    client.write_all(b"before").await.unwrap();
    sleep(seconds(1)).await;

    watch.end();
    watch.clone().end();
    let traffic = tunnel.await.unwrap().unwrap();
    assert_eq!((traffic.end(), traffic.from_downstream()), (End::Requested, 6));
    assert!(!watch.is_open());
    let mut received = String::new();
    origin.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "before");
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    watch.end();

    other_client.write_all(b"still").await.unwrap();
    other_origin.read_exact(&mut [0; 5]).await.unwrap();
    assert!(!other.is_finished());
    drain.complete_now();
    assert_eq!(other.await.unwrap().unwrap().end(), End::Drained);
}

#[tokio::test(start_paused = true)]
async fn an_end_before_the_first_poll_leaves_what_was_read() {
    for before_it_runs in [true, false] {
        let (_client, mut tunnel, mut origin) = table();
        let watch = tunnel.watch();
        let tunnel = tunnel.leftovers("early".into(), "".into());
        let run = if before_it_runs {
            watch.end();
            tunnel.run()
        } else {
            let run = tunnel.run();
            watch.end();
            run
        };
        let traffic = run.await.unwrap();
        assert_eq!((traffic.end(), traffic.from_downstream()), (End::Requested, 5));
        let mut received = String::new();
        origin.read_to_string(&mut received).await.unwrap();
        assert_eq!((received.as_str(), watch.from_downstream()), ("early", 5));
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_first_is_why_it_ended() {
    for (drain_first, expected) in [(true, End::Drained), (false, End::Requested)] {
        let (mut client, stream) = fault::pair(64);
        let (upstream, _origin) = fault::pair(64);
        let upstream = upstream.faults(Faults::none().stall_after_writing(2));
        let mut tunnel = Tunnel::new(stream, upstream);
        let (watch, drain) = (tunnel.watch(), Drain::new());
        let tunnel = tokio::spawn(tunnel.drain(drain.signal()).run());
        client.write_all(b"stuck").await.unwrap();
        sleep(seconds(1)).await;
        // Until the half-close timeout: the upstream does not take what was read.
        let drain = || drain.start(Schedule::default());
        if drain_first {
            drain();
            sleep(seconds(1)).await;
            watch.end();
        } else {
            watch.end();
            sleep(seconds(1)).await;
            drain();
        }
        assert!(watch.is_open());
        assert_eq!(tunnel.await.unwrap().unwrap().end(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_dropped_or_fails_is_not_open() {
    let (_client, mut tunnel, _origin) = table();
    let watch = tunnel.watch();
    drop(tunnel);
    assert!(!watch.is_open());

    let (_client, mut tunnel, _origin) = table();
    let (watch, same) = (tunnel.watch(), tunnel.watch());
    let running = tokio::spawn(tunnel.run());
    sleep(seconds(1)).await;
    assert!(watch.is_open() && same.is_open());
    running.abort();
    assert!(running.await.is_err());
    assert!(!watch.is_open() && !same.is_open());

    let (mut client, stream) = fault::pair(64);
    let (upstream, _origin) = fault::pair(64);
    let mut tunnel = Tunnel::new(stream.faults(Faults::none().reset_after_reading(5)), upstream);
    let watch = tunnel.watch();
    let running = tokio::spawn(tunnel.run());
    client.write_all(b"hello, world").await.unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert!(!watch.is_open());
    assert_eq!(
        (watch.from_downstream(), error.traffic().from_downstream()),
        (5, 5)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_counts_bulk_between_sockets_and_ends_it_from_another_thread() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pair = async || {
        let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (connected.unwrap(), accepted.unwrap().0)
    };
    let ((mut client, downstream), (upstream, mut origin)) = (pair().await, pair().await);
    let mut tunnel = Tunnel::new(downstream, upstream);
    let watch = tunnel.watch();
    let tunnel = tokio::spawn(tunnel.run());
    tokio::spawn(async move { while client.write_all(&[7; 65536]).await.is_ok() {} });
    let sink = tokio::spawn(async move { tokio::io::copy(&mut origin, &mut tokio::io::sink()).await });
    let mut before = 0;
    while watch.from_downstream() < 50_000_000 {
        assert!(watch.from_downstream() >= before, "a counter goes back");
        before = watch.from_downstream();
        tokio::task::yield_now().await;
    }
    watch.end();
    let traffic = tunnel.await.unwrap().unwrap();
    assert_eq!(
        (traffic.end(), traffic.from_downstream()),
        (End::Requested, watch.from_downstream())
    );
    assert_eq!(sink.await.unwrap().unwrap(), traffic.from_downstream());
}
