//! One side has gone without a Close: the other is notified, where what it was sent ends between two frames.

use switchover::tunnel::{End, EndRequest, Operation};
use tokio::time::sleep;

use super::*;

/// What `side` is notified of the other.
fn gone(side: Side) -> Frame {
    close_for(side, "has gone without a Close")
}

/// What `side` is notified of the other, of which this is said.
fn close_for(side: Side, why: &str) -> Frame {
    match side {
        Side::Downstream => Frame::close(CloseCode::INTERNAL_ERROR, &format!("the server {why}")),
        Side::Upstream => Frame::close(CloseCode::GOING_AWAY, &format!("the client {why}")),
    }
}

/// With a half-close timeout of ten seconds, and streams that do as they are notified.
fn notified(near: Side, near_faults: Faults) -> Talk {
    let table = Table::with_faults(1024, near_faults, Faults::none());
    talk(
        near,
        table,
        unlimited().half_close_timeout(seconds(10)),
        WebSocketConfig::default(),
    )
}

mirrored! {
    virtual_time async fn a_stream_that_ends_without_a_close(near: Side) {
        let mut talk = notified(near, Faults::none());
        talk.near.send(&Frame::text("hello")).await;
        talk.near.stream.shutdown().await.unwrap();
        assert_eq!(talk.far.next().await, Some(Frame::text("hello")));
        assert_eq!(talk.far.next().await, Some(gone(!near)));
        assert_eq!(talk.far.next().await, None);
        // One that reads on still gets what the other side says, and its Close.
        let close = Frame::close(CloseCode::GOING_AWAY, "");
        talk.far.send(&Frame::text("well")).await;
        talk.far.send(&close).await;
        talk.far.stream.shutdown().await.unwrap();
        assert_eq!(talk.near.next().await, Some(Frame::text("well")));
        assert_eq!(talk.near.next().await, Some(close));
        assert_eq!(talk.near.next().await, None);
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Closed { first: near }, 0));
        assert_eq!(traffic.close_sent_to(!near).map(|close| close.to_frame().payload().to_vec()), Some(gone(!near).payload));
        assert_eq!((traffic.close_from(near), traffic.close_sent_to(near)), (None, None));
        assert_eq!(delivered_from(near, &traffic), Frame::text("hello").bytes(near).len() as u64);
    }

    virtual_time async fn a_peer_that_is_gone_altogether(near: Side) {
        let mut talk = notified(near, Faults::none());
        drop(talk.near.stream);
        assert_eq!(talk.far.next().await, Some(gone(!near)));
        talk.far.send(&Frame::close(CloseCode::GOING_AWAY, "")).await;
        assert_eq!(talk.far.next().await, None);
        drop(talk.far.stream);
        let traffic = talk.tunnel.await.unwrap().expect("that its answer reaches nobody is no news");
        assert_eq!(traffic.end(), End::Closed { first: near });
    }

    virtual_time async fn a_stream_that_is_reset_between_two_frames(near: Side) {
        let hello = Frame::text("hello");
        let mut talk = notified(near, Faults::none().reset_after_reading(hello.bytes(near).len() as u64));
        talk.near.send(&hello).await;
        let _ = talk.near.stream.write_all(b"lost").await;
        assert_eq!(talk.far.next().await, Some(hello.clone()));
        assert_eq!(talk.far.next().await, Some(gone(!near)));
        assert_eq!(talk.far.next().await, None, "no reset after a Close");
        sleep(seconds(2)).await;
        talk.far.send(&Frame::text("too late")).await;
        talk.far.send(&Frame::close(CloseCode(4000), "well then")).await;
        let error = talk.tunnel.await.unwrap().unwrap_err();
        assert_eq!((error.side(), error.operation()), (near, Operation::Read));
        let traffic = error.traffic();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Failed { side: near }, 2));
        assert_eq!(delivered_from(near, traffic), hello.bytes(near).len() as u64);
        assert_eq!(traffic.close_from(!near).unwrap().to_string(), "4000 \"well then\"");
        assert!(traffic.close_sent_to(!near).is_some());
    }

    virtual_time async fn one_that_does_not_answer_is_left_at_the_close_timeout(near: Side) {
        let websocket = WebSocketConfig::default().close_timeout(seconds(2));
        let table = Table::with_faults(1024, Faults::none().reset_after_reading(0), Faults::none());
        let mut talk = talk(near, table, unlimited().half_close_timeout(seconds(10)), websocket);
        let _ = talk.near.stream.write_all(b"lost").await;
        assert_eq!(talk.far.next().await, Some(gone(!near)));
        let error = talk.tunnel.await.unwrap().unwrap_err();
        assert_eq!((error.side(), error.traffic().duration().as_secs()), (near, 2));
    }

    virtual_time async fn within_a_frame_there_is_no_place_for_a_close(near: Side) {
        let message = Frame::new(OpCode::Binary, &pattern(100)).bytes(near);
        for is_reset in [false, true] {
            let faults = match is_reset {
                true => Faults::none().reset_after_reading(20),
                false => Faults::none().end_after_reading(20),
            };
            let mut talk = notified(near, faults);
            let _ = talk.near.stream.write_all(&message).await;
            let mut received = Vec::new();
            talk.far.stream.read_to_end(&mut received).await.unwrap();
            assert_eq!(received, &message[..20]);
            drop(talk.far.stream);
            let ended = talk.tunnel.await.unwrap();
            assert_eq!(ended.is_err(), is_reset);
            let traffic = ended.unwrap_or_else(|error| error.traffic().clone());
            assert_eq!(traffic.close_sent_to(!near), None);
        }
    }

    virtual_time async fn a_part_of_a_header_does_not_go_before_it(near: Side) {
        let mut talk = notified(near, Faults::none());
        talk.near.send(&part()).await;
        talk.near.stream.write_all(&Frame::text("hello").bytes(near)[..1]).await.unwrap();
        talk.near.stream.shutdown().await.unwrap();
        assert_eq!(talk.far.next().await, Some(part()), "also within a message");
        assert_eq!(talk.far.next().await, Some(gone(!near)));
        assert_eq!(talk.far.next().await, None);
    }

    virtual_time async fn what_the_operator_wants_or_nothing(near: Side) {
        let own = EndRequest::close(CloseCode(4010), "lost").unwrap();
        for (close, expected) in [
            (None, None),
            (Some(own), Some(Frame::close(CloseCode(4010), "lost"))),
            (Some(EndRequest::default()), Some(gone(!near))),
        ] {
            for is_reset in [false, true] {
                // Of the other side nothing is changed.
                let websocket = bare().abnormal_close(!near, close.clone());
                let faults = match is_reset {
                    true => Faults::none().reset_after_reading(0),
                    false => Faults::none(),
                };
                let table = Table::with_faults(1024, faults, Faults::none());
                let mut talk = talk(near, table, unlimited().half_close_timeout(seconds(10)), websocket);
                let _ = talk.near.stream.write_all(b"!").await;
                let _ = talk.near.stream.shutdown().await;
                if !is_reset {
                    // It is the part of a header: without a Close it goes on.
                    if expected.is_none() {
                        assert_eq!(talk.far.stream.read_u8().await.unwrap(), b'!');
                    }
                }
                assert_eq!(talk.far.next().await, expected);
                if expected.is_some() {
                    assert_eq!(talk.far.next().await, None);
                }
            }
        }
    }

    virtual_time async fn a_side_that_takes_nothing_is_given_up_and_the_other_is_told(near: Side) {
        let close = Frame::close(CloseCode::GOING_AWAY, "");
        for within_a_frame in [false, true] {
            let config = unlimited().write_timeout(seconds(5)).half_close_timeout(seconds(10));
            let mut talk = talk(near, Table::new(1024), config, WebSocketConfig::default());
            // More than its stream takes.
            talk.near.send(&Frame::new(OpCode::Binary, &pattern(1500))).await;
            if within_a_frame {
                talk.far.stream.write_all(&part().bytes(!near)[..7]).await.unwrap();
                let mut received = Vec::new();
                talk.near.stream.read_to_end(&mut received).await.unwrap();
                assert_eq!(received, &part().bytes(!near)[..7], "there is no place for a Close");
            } else {
                assert_eq!(talk.near.next().await, Some(close_for(near, "takes no bytes")));
                assert_eq!(talk.near.next().await, None);
                sleep(seconds(1)).await;
                talk.near.send(&close).await;
            }
            let traffic = talk.tunnel.await.unwrap().unwrap();
            let after = if within_a_frame { 5 } else { 6 };
            assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::WriteTimeout { side: !near }, after));
            assert_eq!(traffic.close_sent_to(near).is_some(), !within_a_frame);
            assert_eq!(traffic.close_from(near).is_some(), !within_a_frame);
            assert_eq!(traffic.close_sent_to(!near), None);
        }
    }

    virtual_time async fn where_neither_takes_anything_both_are_left_at_the_write_timeout(near: Side) {
        let config = unlimited().write_timeout(seconds(5)).half_close_timeout(seconds(10));
        let mut talk = talk(near, Table::new(1024), config, WebSocketConfig::default());
        for peer in [&mut talk.near, &mut talk.far] {
            peer.send(&Frame::new(OpCode::Binary, &pattern(1500))).await;
        }
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end().name(), traffic.duration().as_secs()), ("write-timeout", 5));
    }

    virtual_time async fn one_that_does_not_answer_that_either_is_left_at_the_close_timeout(near: Side) {
        let config = unlimited().write_timeout(seconds(5)).half_close_timeout(seconds(10));
        let websocket = WebSocketConfig::default().close_timeout(seconds(2));
        let mut talk = talk(near, Table::new(1024), config, websocket);
        talk.near.send(&Frame::new(OpCode::Binary, &pattern(1500))).await;
        assert_eq!(talk.near.next().await, Some(close_for(near, "takes no bytes")));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::WriteTimeout { side: !near }, 7));
    }

    virtual_time async fn a_side_that_has_ended_is_told_of_one_that_does_not(near: Side) {
        let mut talk = notified(near, Faults::none());
        talk.near.stream.shutdown().await.unwrap();
        assert_eq!(talk.far.next().await, Some(gone(!near)));
        assert_eq!(talk.near.next().await, Some(close_for(near, "does not close")));
        assert_eq!(talk.near.next().await, None);
        drop(talk.near);
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::HalfCloseTimeout { open: !near }, 10));
        assert!(traffic.close_sent_to(near).is_some() && traffic.close_sent_to(!near).is_some());
    }

    virtual_time async fn a_close_of_its_own_is_enough(near: Side) {
        let mut talk = notified(near, Faults::none());
        let close = Frame::close(CloseCode::NORMAL_CLOSURE, "");
        talk.near.send(&close).await;
        talk.near.stream.shutdown().await.unwrap();
        assert_eq!(talk.far.next().await, Some(close));
        assert_eq!(talk.far.next().await, None);
    }
}

#[cfg(target_os = "linux")]
mirrored! {
    real_time async fn over_sockets_a_reset_arrives_as_a_close(near: Side) {
        let ((near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let websocket = WebSocketConfig::default().close_timeout(seconds(2));
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).websocket(websocket).run());
        let (mut one, mut other) = (Peer::new(near_peer, near), Peer::new(far_peer, !near));
        one.send(&Frame::text("hello")).await;
        assert_eq!(other.next().await, Some(Frame::text("hello")));
        one.stream.set_zero_linger().unwrap();
        drop(one);
        assert_eq!(other.next().await, Some(gone(!near)));
        assert_eq!(other.next().await, None);
        other.send(&Frame::close(CloseCode::GOING_AWAY, "")).await;
        assert_eq!(other.stream.read(&mut [0]).await.unwrap(), 0, "an end in order");
        assert_eq!(tunnel.await.unwrap().unwrap_err().side(), near);
    }

    real_time async fn over_sockets_a_reset_behind_large_frames_is_no_end_in_order(near: Side) {
        let ((near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let config = unlimited().half_close_timeout(seconds(2));
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).config(config).websocket(bare()).run());
        let (mut one, mut other) = (Peer::new(near_peer, near), Peer::new(far_peer, !near));
        // So many, so large: they are spliced by then, and the header of the next one is looked at before it is read.
        let frame = Frame::new(OpCode::Binary, &pattern(1 << 18));
        for _ in 0..8 {
            let (_, received) = tokio::join!(one.send(&frame), other.next());
            assert!(received == Some(frame.clone()));
        }
        one.stream.set_zero_linger().unwrap();
        drop(one);
        let error = tunnel.await.unwrap().unwrap_err();
        assert_eq!((error.side(), error.operation()), (near, Operation::Read));
        let read = other.stream.read(&mut [0]).await;
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }

    real_time async fn over_sockets_one_that_took_not_all_does_not_see_an_end_in_order(near: Side) {
        let ((near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let config = unlimited().write_timeout(milliseconds(300)).half_close_timeout(seconds(2));
        let websocket = WebSocketConfig::default();
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).config(config).websocket(websocket).run());
        let (reading, mut writing) = near_peer.into_split();
        let sender = tokio::spawn(async move {
            let message = Frame::new(OpCode::Binary, &pattern(1 << 20)).bytes(near);
            // Until nothing more is taken.
            while writing.write_all(&message).await.is_ok() {}
        });
        let mut one = Peer::new(tokio::io::join(reading, tokio::io::sink()), near);
        assert_eq!(one.next().await, Some(close_for(near, "takes no bytes")));
        let (mut stuck, mut received) = (far_peer, vec![0; 1 << 20]);
        drop(one);
        sender.await.unwrap();
        assert_eq!(tunnel.await.unwrap().unwrap().end(), End::WriteTimeout { side: !near });
        let ended = loop {
            match stuck.read(&mut received).await {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error.kind()),
            }
        };
        assert_eq!(ended, Err(std::io::ErrorKind::ConnectionReset));
    }
}

fn part() -> Frame {
    Frame::text("a part").not_last()
}
