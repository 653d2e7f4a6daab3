//! Orderly ends are passed on as what they are: each direction for itself, the drain, and the drop of the future.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Waker};

use switchover::tunnel::{End, copy_bidirectional};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::*;

mirrored! {
    real_time async fn late_data_after_a_half_close_arrives(near: Side) {
        let (mut near_peer, near_stream) = tcp_pair().await;
        let (far_stream, mut far_peer) = tcp_pair().await;
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).run());
        near_peer.write_all(b"question").await.unwrap();
        near_peer.shutdown().await.unwrap();
        let mut question = String::new();
        far_peer.read_to_string(&mut question).await.unwrap();
        sleep(milliseconds(300)).await;
        far_peer.write_all(b"answer").await.unwrap();
        drop(far_peer);
        let mut answer = String::new();
        near_peer.read_to_string(&mut answer).await.unwrap();
        assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.end(), End::Closed { first: near });
        assert_eq!((delivered_from(near, &traffic), delivered_from(!near, &traffic)), (8, 6));
    }

    virtual_time async fn an_end_waits_for_the_bytes_before_it(near: Side) {
        let mut table = Table::new(10);
        let tunnel = tokio::spawn(seat(near, table.near, table.far).run());
        let mut near_peer = table.near_peer;
        tokio::spawn(async move {
            near_peer.write_all(&pattern(1000)).await.unwrap();
        });
        sleep(seconds(1)).await;
        let mut received = Vec::new();
        table.far_peer.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, pattern(1000));
        drop(table.far_peer);
        assert_eq!(tunnel.await.unwrap().unwrap().end(), End::Closed { first: near });
    }

    virtual_time async fn a_stream_that_closes_without_its_closing_words_has_ended(near: Side) {
        let faults = Faults::none().fail_after_reading(5, ErrorKind::UnexpectedEof);
        let mut table = Table::with_faults(64, faults, Faults::none());
        let tunnel = tokio::spawn(seat(near, table.near, table.far).run());
        table.near_peer.write_all(b"hello").await.unwrap();
        let mut received = String::new();
        table.far_peer.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "hello");
        table.far_peer.write_all(b"goodbye").await.unwrap();
        drop(table.far_peer);
        let mut answer = String::new();
        table.near_peer.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "goodbye", "the other direction goes on");
        assert_eq!(tunnel.await.unwrap().unwrap().end(), End::Closed { first: near });
    }

    virtual_time async fn both_ends_are_told_to_streams_with_closing_words(near: Side) {
        let faults = Faults::none().hesitate();
        let mut table = Table::with_faults(64, faults.clone(), faults);
        let tunnel = tokio::spawn(seat(near, table.near, table.far).run());
        table.near_peer.shutdown().await.unwrap();
        assert_eq!(table.far_peer.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(table.near_watch.shutdowns(), 0);
        table.far_peer.shutdown().await.unwrap();
        tunnel.await.unwrap().unwrap();
        assert_eq!((table.near_watch.shutdowns(), table.far_watch.shutdowns()), (1, 1));
    }

    real_time async fn borrowed_sockets_are_told_both_ends(near: Side) {
        let (mut near_peer, mut near_stream) = tcp_pair().await;
        let (mut far_stream, mut far_peer) = tcp_pair().await;
        let talk = async {
            near_peer.write_all(b"hello").await.unwrap();
            near_peer.shutdown().await.unwrap();
            let mut received = String::new();
            far_peer.read_to_string(&mut received).await.unwrap();
            far_peer.shutdown().await.unwrap();
            near_peer.read_to_end(&mut Vec::new()).await.unwrap();
            received
        };
        // The streams live on: their peers see the end because they were shut down, not because of a close.
        let (traffic, received) = match near {
            Side::Downstream => tokio::join!(copy_bidirectional(&mut near_stream, &mut far_stream), talk),
            Side::Upstream => tokio::join!(copy_bidirectional(&mut far_stream, &mut near_stream), talk),
        };
        let traffic = traffic.unwrap();
        assert_eq!((received.as_str(), delivered_from(near, &traffic)), ("hello", 5));
        assert_eq!(traffic.end(), End::Closed { first: near });
    }

    virtual_time async fn a_drain_delivers_what_was_read(near: Side) {
        let mut table = Table::new(10);
        let (trigger, drain) = oneshot::channel::<()>();
        let drain = async move { drain.await.unwrap() };
        let tunnel = tokio::spawn(seat(near, table.near, table.far).drain(drain).run());
        let mut near_peer = table.near_peer;
        let sender = tokio::spawn(async move {
            let outcome = near_peer.write_all(&pattern(1_000_000)).await;
            (near_peer, outcome)
        });
        sleep(seconds(1)).await;
        let taken = table.near_watch.read();
        assert!(taken > table.far_watch.written(), "nothing waits: the case tests nothing");
        trigger.send(()).unwrap();
        sleep(seconds(5)).await;
        assert_eq!(table.near_watch.read(), taken, "reads go on");
        assert_eq!(table.near_watch.shutdowns(), 1, "the side with nothing to wait for is notified at once");
        let mut received = Vec::new();
        table.far_peer.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, pattern(taken as usize));
        drop(table.far_peer);
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), delivered_from(near, &traffic)), (End::Drained, taken));
        let (mut near_peer, _) = sender.await.unwrap();
        assert_eq!(near_peer.read(&mut [0; 1]).await.unwrap(), 0);
    }

    virtual_time async fn a_drain_waits_no_longer_than_the_half_close_timeout(near: Side) {
        let mut table = Table::with_faults(1024, Faults::none(), Faults::none().stall_after_writing(5));
        let started = Instant::now();
        let config = unlimited().half_close_timeout(seconds(10));
        let tunnel = seat(near, table.near, table.far).config(config).drain(sleep(seconds(3)));
        let tunnel = tokio::spawn(tunnel.run());
        table.near_peer.write_all(b"hello, world").await.unwrap();
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), delivered_from(near, &traffic)), (End::Drained, 5));
        assert_eq!(started.elapsed().as_secs(), 13);
        assert_eq!(table.far_watch.shutdowns(), 0, "a stream that was cut short ends as if complete");
    }

    virtual_time async fn a_quiet_drain_is_quick(near: Side) {
        let table = Table::new(1024);
        let tunnel = seat(near, table.near, table.far).drain(std::future::ready(()));
        let traffic = tunnel.run().await.unwrap();
        assert_eq!(traffic.end(), End::Drained);
        assert!(traffic.duration() <= milliseconds(300), "{:?}", traffic.duration());
        assert_eq!((table.near_watch.shutdowns(), table.far_watch.shutdowns()), (1, 1));
    }

    virtual_time async fn a_drain_is_over_when_both_peers_have_closed(near: Side) {
        let mut table = Table::new(1024);
        let tunnel = tokio::spawn(seat(near, table.near, table.far).drain(std::future::ready(())).run());
        // What is still on its way is read, and forgotten, for the sake of the end behind it.
        table.near_peer.write_all(b"too late").await.unwrap();
        assert_eq!(table.near_peer.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(table.far_peer.read(&mut [0; 1]).await.unwrap(), 0);
        drop((table.near_peer, table.far_peer));
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), delivered_from(near, &traffic)), (End::Drained, 0));
        assert!(traffic.duration() < milliseconds(10), "{:?}", traffic.duration());
        assert_eq!(table.near_watch.read(), 8);
    }

    virtual_time async fn the_streams_are_closed_when_the_result_is_there(near: Side) {
        let table = Table::new(1024);
        let mut run = pin!(seat(near, table.near, table.far).run());
        drop((table.near_peer, table.far_peer));
        run.as_mut().await.unwrap();
        assert!(table.near_watch.is_dropped() && table.far_watch.is_dropped());
    }

    real_time async fn a_drain_is_an_orderly_end_even_if_the_peer_keeps_sending(near: Side) {
        let (near_peer, near_stream) = tcp_pair().await;
        let (far_stream, mut far_peer) = tcp_pair().await;
        let tunnel = seat(near, near_stream, far_stream).drain(sleep(milliseconds(100)));
        let tunnel = tokio::spawn(tunnel.run());
        let (mut near_reader, mut near_writer) = near_peer.into_split();
        tokio::spawn(async move { while near_writer.write_all(&[1; 1000]).await.is_ok() {} });
        tokio::spawn(async move {
            let sink = &mut tokio::io::sink();
            let _ = tokio::io::copy(&mut far_peer, sink).await;
        });
        assert_eq!(near_reader.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(tunnel.await.unwrap().unwrap().end(), End::Drained);
    }

    virtual_time async fn a_cancelled_tunnel_has_delivered_what_it_counted(near: Side) {
        for polls in 0..200 {
            let mut table = Table::with_faults(100_000, Faults::seeded(polls), Faults::seeded(!polls));
            let sent = pattern(90_000);
            table.near_peer.write_all(&sent).await.unwrap();
            {
                let mut run = pin!(seat(near, table.near, table.far).run());
                for _ in 0..polls {
                    assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                }
            }
            assert!(table.near_watch.is_dropped() && table.far_watch.is_dropped());
            let mut received = Vec::new();
            table.far_peer.read_to_end(&mut received).await.unwrap();
            assert_eq!(received.len() as u64, table.far_watch.written());
            assert!(sent.starts_with(&received));
            assert!(table.near_watch.read() - table.far_watch.written() <= SCRATCH_SIZE);
        }
    }
}
