//! Every wait has a limit, and no limit passes where there is progress.

use std::pin::pin;

use switchover::tunnel::End;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, advance, pause, sleep};

use crate::*;

mirrored! {
    virtual_time async fn a_flush_that_was_waited_for_is_activity(near: Side) {
        // A write is accepted after eight seconds, and has left after eight more.
        let slow = Faults::none().hold_until_flush().delay(seconds(8));
        let mut table = Table::with_faults(1024, Faults::none(), slow);
        let config = unlimited().idle_timeout(seconds(10));
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        table.near_peer.write_all(b"hello").await.unwrap();
        let mut received = [0; 5];
        table.far_peer.read_exact(&mut received).await.unwrap();
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Idle, 26));
    }

    virtual_time async fn silence_ends_at_the_idle_limit(near: Side) {
        let mut table = Table::new(1024);
        let config = unlimited().idle_timeout(seconds(10));
        let started = Instant::now();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        sleep(seconds(7)).await;
        table.near_peer.write_all(b"still here").await.unwrap();
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.end(), End::Idle);
        assert_eq!(started.elapsed().as_secs(), 17);
        assert_eq!(traffic.duration().as_secs(), 17);
        assert_eq!(delivered_from(near, &traffic), 10);
        assert_eq!(table.near_watch.shutdowns(), 1, "a stream with closing words gets to say them");
    }

    virtual_time async fn one_way_traffic_is_not_idle(near: Side) {
        let mut table = Table::new(1024);
        let config = unlimited().idle_timeout(seconds(10));
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        for _ in 0..20 {
            sleep(seconds(9)).await;
            table.near_peer.write_all(b"tick").await.unwrap();
            table.far_peer.read_exact(&mut [0; 4]).await.unwrap();
        }
        assert!(!tunnel.is_finished());
        assert_eq!(tunnel.await.unwrap().unwrap().end(), End::Idle);
    }

    virtual_time async fn half_closed_silence_ends_at_the_half_close_timeout(near: Side) {
        let mut table = Table::new(1024);
        let config = unlimited().half_close_timeout(seconds(10));
        let started = Instant::now();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        sleep(seconds(100)).await;
        table.near_peer.shutdown().await.unwrap();
        assert_eq!(tunnel.await.unwrap().unwrap().end(), End::HalfCloseTimeout { open: !near });
        assert_eq!(started.elapsed().as_secs(), 110);
    }

    virtual_time async fn half_closed_traffic_outlives_the_half_close_timeout(near: Side) {
        let mut table = Table::new(1024);
        let config = unlimited().half_close_timeout(seconds(10));
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        table.near_peer.shutdown().await.unwrap();
        for _ in 0..20 {
            sleep(seconds(9)).await;
            table.far_peer.write_all(b"tick").await.unwrap();
            table.near_peer.read_exact(&mut [0; 4]).await.unwrap();
        }
        assert!(!tunnel.is_finished());
        drop(table.far_peer);
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.end(), End::Closed { first: near });
        assert_eq!(delivered_from(!near, &traffic), 80);
    }

    virtual_time async fn a_side_that_takes_no_bytes_times_out(near: Side) {
        let mut table = Table::with_faults(1024, Faults::none(), Faults::none().stall_after_writing(100));
        let config = unlimited().write_timeout(seconds(10));
        let started = Instant::now();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        sleep(seconds(100)).await;
        table.near_peer.write_all(&pattern(101)).await.unwrap();
        // Traffic the other way is no excuse.
        let mut far_peer = table.far_peer;
        tokio::spawn(async move {
            while far_peer.write_all(b"tick").await.is_ok() {
                sleep(seconds(1)).await;
            }
        });
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.end(), End::WriteTimeout { side: !near });
        assert_eq!(started.elapsed().as_secs(), 110);
        assert_eq!(delivered_from(near, &traffic), 100);
        assert_eq!(table.far_watch.shutdowns(), 0, "a stream that was cut short ends as if complete");
    }

    virtual_time async fn a_side_that_takes_a_byte_now_and_then_does_not_stall(near: Side) {
        let mut table = Table::new(1);
        let config = unlimited().write_timeout(seconds(10));
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        let mut near_peer = table.near_peer;
        tokio::spawn(async move {
            near_peer.write_all(&pattern(50)).await.unwrap();
        });
        for _ in 0..50 {
            sleep(seconds(9)).await;
            table.far_peer.read_u8().await.unwrap();
        }
        drop(table.far_peer);
        assert_eq!(delivered_from(near, &tunnel.await.unwrap().unwrap()), 50);
    }

    virtual_time async fn a_flush_that_does_not_complete_stalls(near: Side) {
        // Ten bytes of room behind a writer that takes everything at once.
        let mut table = Table::with_faults(10, Faults::none(), Faults::none().hold_until_flush());
        let config = unlimited().write_timeout(seconds(10));
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        let mut near_peer = table.near_peer;
        tokio::spawn(async move {
            while near_peer.write_all(b"tick").await.is_ok() {
                sleep(seconds(1)).await;
            }
        });
        assert_eq!(tunnel.await.unwrap().unwrap().end(), End::WriteTimeout { side: !near });
        table.far_peer.read_exact(&mut [0; 10]).await.unwrap();
    }

    virtual_time async fn a_busy_tunnel_ends_with_its_lifetime(near: Side) {
        let mut table = Table::new(1024);
        let config = unlimited().lifetime(seconds(95));
        let started = Instant::now();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        while table.near_peer.write_all(b"tick").await.is_ok() {
            let _ = table.far_peer.read_exact(&mut [0; 4]).await;
            sleep(seconds(10)).await;
        }
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), delivered_from(near, &traffic)), (End::Lifetime, 40));
        assert_eq!(started.elapsed().as_secs(), 100);
        assert_eq!(traffic.duration().as_secs(), 95);
    }

    virtual_time async fn the_earliest_of_several_limits_strikes(near: Side) {
        let mut table = Table::new(1024);
        let config = unlimited().idle_timeout(seconds(60)).half_close_timeout(seconds(10)).lifetime(seconds(3600));
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        // The one timer sleeps towards the idle limit and must be called forward.
        sleep(seconds(1)).await;
        table.near_peer.shutdown().await.unwrap();
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::HalfCloseTimeout { open: !near }, 11));
    }

    virtual_time async fn without_limits_silence_lasts(near: Side) {
        let mut table = Table::new(1024);
        let mut tunnel = pin!(seat(near, table.near, table.far).config(unlimited()).run());
        table.near_peer.shutdown().await.unwrap();
        assert!(tokio::time::timeout(seconds(1_000_000), tunnel.as_mut()).await.is_err());
        drop(table.far_peer);
        assert_eq!(tunnel.await.unwrap().end(), End::Closed { first: near });
    }

    virtual_time async fn a_limit_beyond_the_clock_is_no_limit(near: Side) {
        let table = Table::new(1024);
        let most = std::time::Duration::MAX;
        let config = TunnelConfig::default().idle_timeout(most).half_close_timeout(most).lifetime(most);
        let tunnel = seat(near, table.near, table.far).config(config).run();
        assert!(tokio::time::timeout(seconds(1_000_000), tunnel).await.is_err());
    }

    real_time async fn a_zero_window_stalls_and_is_reset(near: Side) {
        let (mut near_peer, near_stream) = tcp_pair().await;
        let (far_stream, mut far_peer) = tcp_pair().await;
        let config = unlimited().write_timeout(milliseconds(300));
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).config(config).run());
        let sender = tokio::spawn(async move { while near_peer.write_all(&[7; 65536]).await.is_ok() {} });
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.end(), End::WriteTimeout { side: !near });
        sender.await.unwrap();
        let mut received = Vec::new();
        let error = far_peer.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "truncation is not visible");
    }

    real_time async fn a_reader_that_is_slow_behind_a_full_socket_does_not_stall(near: Side) {
        read_slowly(near, unlimited()).await;
    }

    real_time async fn a_reader_that_is_slow_behind_a_full_socket_does_not_stall_a_copy(near: Side) {
        read_slowly(near, unlimited().splice(None)).await;
    }
}

/// A sender of bulk, and a reader of so little that the kernel does not say within the limit that its socket has room again.
async fn read_slowly(near: Side, config: TunnelConfig) {
    let (near_peer, near_stream) = tcp_pair().await;
    let (far_stream, far_peer) = tcp_pair().await;
    // From here on the test yields where it waits: the clock would jump if it slept.
    pause();
    let config = config.write_timeout(seconds(4));
    let tunnel = tokio::spawn(seat(near, near_stream, far_stream).config(config).run());
    let piece = vec![7; 64 * 1024];
    let fill = async || {
        let mut waits = 0;
        while waits < 200 {
            match near_peer.try_write(&piece) {
                Ok(_) => waits = 0,
                Err(_) => waits += 1,
            }
            yield_now().await;
        }
    };
    fill().await;
    let mut space = vec![0; 64 * 1024];
    for step in 0..10 {
        let (mut taken, mut waits) = (0, 0);
        while taken < 500_000 {
            match far_peer.try_read(&mut space) {
                Ok(0) => panic!("an end in step {step}"),
                Ok(count) => taken += count,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                    panic!("step {step}: {error}")
                }
                Err(_) => waits += 1,
            }
            assert!(waits < 1_000_000, "{taken} bytes in step {step}");
            yield_now().await;
        }
        fill().await;
        advance(seconds(3)).await;
        fill().await;
        assert!(!tunnel.is_finished(), "ended in step {step}");
    }
    // And one that takes nothing is found out by the second limit at the latest.
    for _ in 0..4 {
        advance(seconds(3)).await;
        fill().await;
    }
    let traffic = tunnel.await.unwrap().unwrap();
    assert_eq!(traffic.end(), End::WriteTimeout { side: !near });
}

#[test]
fn without_limits_no_timer_is_needed() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut table = Table::new(1024);
        table.near_peer.write_all(b"hello").await.unwrap();
        drop(table.near_peer);
        let talk = async {
            let mut received = Vec::new();
            table.far_peer.read_to_end(&mut received).await.unwrap();
            table.far_peer.shutdown().await.unwrap();
            received
        };
        let tunnel = seat(Side::Downstream, table.near, table.far).config(unlimited());
        let (traffic, received) = tokio::join!(tunnel.run(), talk);
        assert_eq!(
            (traffic.unwrap().from_downstream(), received.as_slice()),
            (5, &b"hello"[..])
        );
    });
}
