//! A reset arrives as a reset, on both sides, soon; what had been sent before it still arrives.

use std::io::ErrorKind;

use bytes::Bytes;
use switchover::tunnel::{Operation, Rewind, copy_bidirectional};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::*;

/// Closes with a reset.
fn reset(peer: TcpStream) {
    peer.set_zero_linger().unwrap();
    drop(peer);
}

mirrored! {
    real_time async fn a_reset_ends_both_sides_while_the_other_is_quiet(near: Side) {
        let (near_peer, near_stream) = tcp_pair().await;
        let (far_stream, mut far_peer) = tcp_pair().await;
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).run());
        sleep(milliseconds(50)).await;
        let started = Instant::now();
        reset(near_peer);
        let error = far_peer.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = tunnel.await.unwrap().unwrap_err();
        assert!(started.elapsed() < seconds(5), "{:?}", started.elapsed());
        assert_eq!((error.side(), error.operation()), (near, Operation::Read));
        assert_eq!(error.io_error().kind(), ErrorKind::ConnectionReset);
    }

    real_time async fn a_reset_reaches_through_a_rewind(near: Side) {
        let (near_peer, near_stream) = tcp_pair().await;
        let (far_stream, mut far_peer) = tcp_pair().await;
        let front = Bytes::from_static(b"front");
        let tunnel = seat(near, Rewind::new(near_stream, front), Rewind::new(far_stream, Bytes::new()));
        let tunnel = tokio::spawn(tunnel.run());
        reset(near_peer);
        let mut received = Vec::new();
        let error = far_peer.read_to_end(&mut received).await.unwrap_err();
        assert_eq!((error.kind(), received.as_slice()), (ErrorKind::ConnectionReset, &b"front"[..]));
        assert!(tunnel.await.unwrap().is_err());
    }

    real_time async fn bytes_before_a_reset_arrive(near: Side) {
        let (mut near_peer, near_stream) = tcp_pair().await;
        let (far_stream, mut far_peer) = tcp_pair().await;
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).run());
        near_peer.write_all(&pattern(200_000)).await.unwrap();
        // Until the tunnel has taken them: a reset discards what its own side has not sent.
        sleep(milliseconds(50)).await;
        reset(near_peer);
        sleep(milliseconds(50)).await;
        let mut received = Vec::new();
        let error = far_peer.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(received == pattern(200_000), "{} bytes arrived", received.len());
        assert_eq!(delivered_from(near, tunnel.await.unwrap().unwrap_err().traffic()), 200_000);
    }

    real_time async fn a_reset_is_passed_on_to_a_busy_side(near: Side) {
        let (near_peer, near_stream) = tcp_pair().await;
        let (far_stream, far_peer) = tcp_pair().await;
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).run());
        let (mut far_reader, mut far_writer) = far_peer.into_split();
        let sender = tokio::spawn(async move {
            loop {
                if let Err(error) = far_writer.write_all(&[7; 4096]).await {
                    return error;
                }
            }
        });
        sleep(milliseconds(100)).await;
        let started = Instant::now();
        reset(near_peer);
        let error = tunnel.await.unwrap().unwrap_err();
        assert!(started.elapsed() < seconds(5), "{:?}", started.elapsed());
        assert_eq!(error.side(), near);
        assert!(delivered_from(!near, error.traffic()) > 0);
        let found = [sender.await.unwrap().kind(), far_reader.read(&mut [0; 1]).await.map_or_else(|e| e.kind(), |_| ErrorKind::UnexpectedEof)];
        assert!(found.contains(&ErrorKind::ConnectionReset), "{found:?}");
    }

    real_time async fn a_reset_after_a_half_close_is_found_by_the_next_write(near: Side) {
        let (mut near_peer, near_stream) = tcp_pair().await;
        let (far_stream, mut far_peer) = tcp_pair().await;
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).run());
        near_peer.shutdown().await.unwrap();
        assert_eq!(far_peer.read(&mut [0; 1]).await.unwrap(), 0);
        drop(near_peer);
        let writing = async {
            while far_peer.write_all(b"is anybody there?").await.is_ok() {
                sleep(milliseconds(10)).await;
            }
        };
        timeout(seconds(5), writing).await.expect("far does not learn that near is gone");
        let error = tunnel.await.unwrap().unwrap_err();
        assert_eq!((error.side(), error.operation()), (near, Operation::Write));
    }

    real_time async fn a_reset_ends_borrowed_streams_too(near: Side) {
        let (near_peer, mut near_stream) = tcp_pair().await;
        let (mut far_stream, mut far_peer) = tcp_pair().await;
        reset(near_peer);
        let outcome = match near {
            Side::Downstream => copy_bidirectional(&mut near_stream, &mut far_stream).await,
            Side::Upstream => copy_bidirectional(&mut far_stream, &mut near_stream).await,
        };
        assert_eq!(outcome.unwrap_err().side(), near);
        drop((near_stream, far_stream));
        assert_eq!(far_peer.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    virtual_time async fn what_was_read_before_a_reset_is_delivered(near: Side) {
        let mut table = Table::with_faults(10, Faults::none().reset_after_reading(35), Faults::none());
        let watch = table.far_watch.clone();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).run());
        let mut near_peer = table.near_peer;
        tokio::spawn(async move { near_peer.write_all(&pattern(1000)).await });
        let mut received = Vec::new();
        sleep(seconds(5)).await;
        table.far_peer.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, pattern(35));
        let error = tunnel.await.unwrap().unwrap_err();
        assert_eq!((error.side(), error.operation()), (near, Operation::Read));
        assert_eq!(delivered_from(near, error.traffic()), 35);
        assert_eq!(watch.shutdowns(), 0, "a stream that was cut short ends as if complete");
    }

    virtual_time async fn a_writer_that_buffers_is_flushed_before_a_failure_is_reported(near: Side) {
        let near_faults = Faults::none().fail_after_reading(35, ErrorKind::InvalidData);
        let mut table = Table::with_faults(1024, near_faults, Faults::none().hold_until_flush());
        table.near_peer.write_all(&pattern(1000)).await.unwrap();
        let error = seat(near, table.near, table.far).run().await.unwrap_err();
        assert_eq!((error.side(), error.operation()), (near, Operation::Read));
        assert_eq!(error.io_error().kind(), ErrorKind::InvalidData);
        let mut received = Vec::new();
        table.far_peer.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, pattern(35));
    }

    virtual_time async fn the_first_of_two_failures_is_reported(near: Side) {
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::TimedOut];
        let faults = Faults::none().fail_after_writing(5, kinds[0]).fail_after_reading(20, kinds[1]);
        let mut table = Table::with_faults(1024, faults, Faults::none().hesitate());
        table.far_peer.write_all(b"hello, world").await.unwrap();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).run());
        sleep(seconds(1)).await;
        table.near_peer.write_all(&pattern(100)).await.unwrap();
        let error = tunnel.await.unwrap().unwrap_err();
        assert_eq!((error.side(), error.operation()), (near, Operation::Write));
        assert_eq!(error.io_error().kind(), ErrorKind::ConnectionReset);
        assert_eq!(delivered_from(near, error.traffic()), 20);
    }

    virtual_time async fn an_end_that_cannot_be_passed_on_is_a_failure(near: Side) {
        let far_faults = Faults::none().fail_shutdown(ErrorKind::BrokenPipe);
        let mut table = Table::with_faults(1024, Faults::none(), far_faults);
        let config = unlimited().half_close_timeout(seconds(10));
        table.near_peer.shutdown().await.unwrap();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        sleep(seconds(5)).await;
        table.far_peer.write_all(b"still talking").await.unwrap();
        let error = tunnel.await.unwrap().unwrap_err();
        assert_eq!((error.side(), error.operation()), (!near, Operation::Shutdown));
        assert_eq!(delivered_from(!near, error.traffic()), 13);
        assert_eq!(error.traffic().duration().as_secs(), 10);
    }

    virtual_time async fn an_end_that_no_one_is_left_to_hear_is_no_failure(near: Side) {
        // The peer's own direction tells how it went.
        let far_faults = Faults::none().fail_shutdown(ErrorKind::NotConnected);
        let mut table = Table::with_faults(1024, Faults::none(), far_faults);
        table.near_peer.shutdown().await.unwrap();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).run());
        sleep(seconds(5)).await;
        drop(table.far_peer);
        tunnel.await.unwrap().unwrap();

        // Everything was delivered both ways: only the closing words of the second direction were not received.
        let near_faults = Faults::none().fail_shutdown(ErrorKind::BrokenPipe);
        let mut table = Table::with_faults(1024, near_faults, Faults::none());
        table.near_peer.shutdown().await.unwrap();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).run());
        sleep(seconds(5)).await;
        drop(table.far_peer);
        tunnel.await.unwrap().unwrap();
    }

    virtual_time async fn a_side_that_takes_nothing_holds_up_a_failure_no_longer_than_the_half_close_timeout(near: Side) {
        let faults = [Faults::none().reset_after_writing(0), Faults::none().stall_after_writing(40)];
        let [near_faults, far_faults] = faults;
        let mut table = Table::with_faults(1024, near_faults, far_faults);
        let config = unlimited().half_close_timeout(seconds(10));
        table.near_peer.write_all(&pattern(100)).await.unwrap();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        sleep(seconds(5)).await;
        table.far_peer.write_all(b"is anybody there?").await.unwrap();
        let error = tunnel.await.unwrap().unwrap_err();
        assert_eq!((error.side(), error.operation()), (near, Operation::Write));
        assert_eq!(delivered_from(near, error.traffic()), 40);
        assert_eq!(error.traffic().duration().as_secs(), 15);
    }

    virtual_time async fn what_a_dead_writer_had_sent_is_delivered(near: Side) {
        let faults = Faults::none().reset_after_writing(5).read_at_most(10);
        let mut table = Table::with_faults(1024, faults, Faults::none().hesitate());
        table.near_peer.write_all(&pattern(1000)).await.unwrap();
        table.far_peer.write_all(b"hello, world").await.unwrap();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).run());
        let mut received = Vec::new();
        table.far_peer.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, pattern(1000));
        let error = tunnel.await.unwrap().unwrap_err();
        assert_eq!((error.side(), error.operation()), (near, Operation::Write));
        assert_eq!((delivered_from(near, error.traffic()), delivered_from(!near, error.traffic())), (1000, 5));
        assert_eq!(table.far_watch.shutdowns(), 0);
    }

    virtual_time async fn a_half_dead_peer_that_never_ends_is_given_up_at_the_half_close_timeout(near: Side) {
        // Near takes nothing more, but its read half stays open and silent, as a child process with a closed input.
        let mut table = Table::with_faults(1024, Faults::none().zero_after_writing(5), Faults::none());
        let config = unlimited().half_close_timeout(seconds(10));
        table.far_peer.write_all(b"hello, world").await.unwrap();
        let error = seat(near, table.near, table.far).config(config).run().await.unwrap_err();
        assert_eq!((error.side(), error.operation()), (near, Operation::Write));
        assert_eq!(error.traffic().duration().as_secs(), 10);
    }

    real_time async fn two_orderly_ends_at_once_are_no_failure(near: Side) {
        let (near_peer, near_stream) = tcp_pair().await;
        let (far_stream, far_peer) = tcp_pair().await;
        drop((near_peer, far_peer));
        sleep(milliseconds(20)).await;
        seat(near, near_stream, far_stream).run().await.unwrap();
    }
}
