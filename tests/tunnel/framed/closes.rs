//! The ends that are the tunnel's own, as WebSocket says them; and those that are not, as bytes.

use switchover::tunnel::{End, EndRequest};
use tokio::time::{Instant, sleep};

use super::*;

const GONE: CloseCode = CloseCode::GOING_AWAY;

mirrored! {
    virtual_time async fn a_close_that_nobody_can_be_sent_is_not_reported_as_sent(near: Side) {
        let frame = Frame::new(OpCode::Binary, b"a frame that is under way");
        let bytes = frame.bytes(!near);
        let hello = Frame::text("hello").bytes(near);
        let table = Table::with_faults(1024, Faults::none().reset_after_reading(hello.len() as u64), Faults::none());
        let mut talk = talk(near, table, unlimited().half_close_timeout(seconds(10)), bare());
        talk.far.stream.write_all(&bytes[..8]).await.unwrap();
        sleep(seconds(1)).await;
        talk.drain.complete_now();
        assert_eq!(talk.far.next().await, Some(Frame::close(CloseCode::GOING_AWAY, "shutting down")));
        // Within the frame, the side that it is for is reset.
        talk.near.stream.write_all(&hello).await.unwrap();
        sleep(seconds(1)).await;
        talk.far.stream.write_all(&bytes[8..]).await.unwrap();
        talk.far.send(&Frame::close(CloseCode::GOING_AWAY, "")).await;
        assert_eq!(talk.far.next().await, None);
        drop(talk.far);
        let ended = talk.tunnel.await.unwrap();
        let traffic = ended.as_ref().unwrap_or_else(|error| error.traffic());
        assert_eq!(traffic.close_sent_to(near), None);
        assert!(traffic.close_sent_to(!near).is_some() && traffic.close_from(!near).is_some());
    }

    virtual_time async fn a_drain_says_goodbye_to_both(near: Side) {
        let mut talk = quiet(near);
        talk.near.send(&Frame::text("hello")).await;
        assert_eq!(talk.far.next().await, Some(Frame::text("hello")));
        let started = Instant::now();
        talk.drain.complete_now();
        talk.near.receives_close(GONE, "shutting down").await;
        talk.far.receives_close(GONE, "shutting down").await;
        drop((talk.near.stream, talk.far.stream));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), started.elapsed().as_millis()), (End::Drained, 0));
        assert_eq!(delivered_from(near, &traffic), Frame::text("hello").bytes(near).len() as u64);
        for side in [near, !near] {
            assert_eq!(traffic.close_from(side).unwrap().code(), Some(GONE));
            assert_eq!(traffic.close_sent_to(side).unwrap().to_string(), "1001 Going Away \"shutting down\"");
        }
        let text = traffic.to_string();
        assert!(text.ends_with(
            "drained; downstream closed with 1001 Going Away; upstream closed with 1001 Going Away; \
             downstream was sent 1001 Going Away \"shutting down\"; upstream was sent 1001 Going Away \"shutting down\""
        ), "{text}");
    }

    virtual_time async fn a_drain_says_what_the_operator_wants(near: Side) {
        let close = EndRequest::close(CloseCode::SERVICE_RESTART, "back in a minute").unwrap();
        let websocket = bare().drain_close(close);
        for asked in [false, true] {
            let config = unlimited().half_close_timeout(seconds(10));
            let mut talk = talk(near, Table::new(1024), config, websocket.clone());
            let (code, reason) = match asked {
                true => (GONE, "shutting down"),
                false => (CloseCode::SERVICE_RESTART, "back in a minute"),
            };
            match asked {
                true => talk.watch.end(),
                false => talk.drain.complete_now(),
            }
            talk.near.receives_close(code, reason).await;
            talk.far.receives_close(code, reason).await;
        }
    }

    virtual_time async fn a_frame_that_has_begun_is_finished_first(near: Side) {
        // A message of 1 MiB in fragments, and the drain in the middle of the second.
        let config = unlimited().half_close_timeout(seconds(10));
        let mut talk = talk(near, Table::new(100_000), config, bare());
        let fragment = pattern(256 * 1024);
        let frames = [
            Frame::new(OpCode::Binary, &fragment).not_last(),
            Frame::new(OpCode::Continuation, &fragment).not_last(),
            Frame::new(OpCode::Continuation, &fragment).not_last(),
            Frame::new(OpCode::Continuation, &fragment),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(near)).collect();
        let at_drain = frames[0].bytes(near).len() + 100_000;
        let (drain, mut one) = (talk.drain.clone(), talk.near);
        let sender = tokio::spawn(async move {
            one.stream.write_all(&bytes[..at_drain]).await.unwrap();
            sleep(seconds(1)).await;
            drain.complete_now();
            sleep(seconds(5)).await;
            one.stream.write_all(&bytes[at_drain..]).await.unwrap();
            one.receives_close(GONE, "shutting down").await;
        });
        assert_eq!(talk.far.next().await.as_ref(), Some(&frames[0]));
        assert_eq!(talk.far.next().await.as_ref(), Some(&frames[1]), "it is cut off");
        talk.far.receives_close(GONE, "shutting down").await;
        sender.await.unwrap();
        let traffic = talk.tunnel.await.unwrap().unwrap();
        let whole = frames[..2].iter().map(|frame| frame.bytes(near).len() as u64).sum::<u64>();
        assert_eq!((traffic.end(), delivered_from(near, &traffic)), (End::Drained, whole));
    }

    virtual_time async fn without_a_boundary_in_time_it_ends_without_a_close(near: Side) {
        let mut talk = quiet(near);
        let bytes = Frame::new(OpCode::Binary, &pattern(100)).bytes(near);
        talk.near.stream.write_all(&bytes[..50]).await.unwrap();
        sleep(seconds(1)).await;
        talk.drain.complete_now();
        // Within its own frame it cannot answer.
        assert_eq!(talk.near.next().await, Some(Frame::close(GONE, "shutting down")));
        let mut received = Vec::new();
        talk.far.stream.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, &bytes[..50]);
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Drained, 11));
        assert_eq!(traffic.close_sent_to(!near), None);
    }

    virtual_time async fn a_side_that_does_not_answer_is_not_waited_for_for_ever(near: Side) {
        let mut talk = quiet(near);
        talk.drain.complete_now();
        talk.far.receives_close(GONE, "shutting down").await;
        assert_eq!(talk.near.next().await, Some(Frame::close(GONE, "shutting down")));
        // Data that comes now is for nobody.
        talk.near.send(&Frame::text("too late")).await;
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Drained, 10));
        assert_eq!((delivered_from(near, &traffic), traffic.close_from(near)), (0, None));
        assert_eq!(talk.near.next().await, None);
    }

    virtual_time async fn a_side_that_is_slow_to_answer_is_waited_for(near: Side) {
        let mut talk = quiet(near);
        talk.drain.complete_now();
        talk.far.receives_close(GONE, "shutting down").await;
        drop(talk.far.stream);
        assert_eq!(talk.near.next().await, Some(Frame::close(GONE, "shutting down")));
        for _ in 0..3 {
            sleep(seconds(3)).await;
            talk.near.send(&Frame::text("a moment")).await;
        }
        talk.near.send(&Frame::close(CloseCode(4001), "well then")).await;
        assert_eq!(talk.near.next().await, None);
        drop(talk.near.stream);
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.duration().as_secs(), 9);
        assert_eq!(traffic.close_from(near).unwrap().to_string(), "4001 \"well then\"");
    }

    virtual_time async fn an_end_that_leaves_without_a_word_is_no_failure(near: Side) {
        let mut talk = quiet(near);
        talk.drain.complete_now();
        assert_eq!(talk.near.next().await, Some(Frame::close(GONE, "shutting down")));
        drop(talk.near.stream);
        talk.far.receives_close(GONE, "shutting down").await;
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::Drained);
    }

    virtual_time async fn a_reset_after_the_close_is_no_failure(near: Side) {
        let faults = Faults::none().reset_after_reading(1);
        let table = Table::with_faults(1024, faults, Faults::none());
        let mut talk = talk(near, table, unlimited().half_close_timeout(seconds(10)), bare());
        talk.drain.complete_now();
        assert_eq!(talk.near.next().await, Some(Frame::close(GONE, "shutting down")));
        talk.near.send(&Frame::close(GONE, "")).await;
        talk.far.receives_close(GONE, "shutting down").await;
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::Drained);
    }

    virtual_time async fn a_close_of_an_ends_own_is_the_only_one(near: Side) {
        let mut talk = quiet(near);
        let own = Frame::close(CloseCode::NORMAL_CLOSURE, "bye");
        talk.near.send(&own).await;
        assert_eq!(talk.far.next().await.as_ref(), Some(&own));
        talk.drain.complete_now();
        assert_eq!(talk.near.next().await, Some(Frame::close(GONE, "shutting down")));
        assert_eq!(talk.near.next().await, None, "both have said it all");
        talk.far.send(&Frame::close(CloseCode::NORMAL_CLOSURE, "")).await;
        assert_eq!(talk.far.next().await, None, "a second Close");
        drop((talk.near.stream, talk.far.stream));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.close_sent_to(!near), None);
        assert_eq!(traffic.close_from(near).unwrap().to_string(), "1000 Normal Closure \"bye\"");
        assert_eq!(traffic.close_from(!near).unwrap().to_string(), "1000 Normal Closure");
    }

    virtual_time async fn an_orderly_close_of_the_ends_is_none_of_the_tunnels(near: Side) {
        let mut talk = quiet(near);
        for close in [Frame::close(CloseCode(4999), "because"), Frame::new(OpCode::Close, b"")] {
            if close.payload.is_empty() {
                talk.far.send(&close).await;
                assert_eq!(talk.near.next().await, Some(close));
            } else {
                talk.near.send(&close).await;
                assert_eq!(talk.far.next().await, Some(close));
            }
        }
        drop((talk.near.stream, talk.far.stream));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert!(matches!(traffic.end(), End::Closed { .. }));
        assert_eq!(traffic.close_from(near).unwrap().to_string(), "4999 \"because\"");
        assert_eq!(traffic.close_from(!near).unwrap().code(), None);
        assert_eq!((traffic.close_sent_to(near), traffic.close_sent_to(!near)), (None, None));
    }

    virtual_time async fn after_a_close_nothing_more_of_its_sender_passes(near: Side) {
        let mut talk = quiet(near);
        let close = Frame::close(CloseCode::NORMAL_CLOSURE, "");
        let sent = [close.bytes(near), Frame::text("afterthought").bytes(near)].concat();
        talk.near.stream.write_all(&sent).await.unwrap();
        talk.near.send(&Frame::text("another")).await;
        talk.near.stream.write_all(b"and no frame at all").await.unwrap();
        assert_eq!(talk.far.next().await.as_ref(), Some(&close));
        talk.near.stream.shutdown().await.unwrap();
        assert_eq!(talk.far.next().await, None);
        talk.far.send(&Frame::text("the other may go on")).await;
        assert_eq!(talk.near.next().await, Some(Frame::text("the other may go on")));
        drop(talk.far.stream);
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!(delivered_from(near, &traffic), close.bytes(near).len() as u64);
    }

    virtual_time async fn every_end_of_the_tunnels_own_has_its_reason(near: Side) {
        let ends = [
            (unlimited().idle_timeout(seconds(5)), "idle", End::Idle),
            (unlimited().lifetime(seconds(5)), "lifetime over", End::Lifetime),
            (unlimited(), "shutting down", End::Requested),
        ];
        for (config, reason, end) in ends {
            let mut talk = talk(near, Table::new(1024), config.half_close_timeout(seconds(10)), bare());
            if end == End::Requested {
                sleep(seconds(5)).await;
                talk.watch.end();
            }
            talk.near.receives_close(GONE, reason).await;
            talk.far.receives_close(GONE, reason).await;
            drop((talk.near.stream, talk.far.stream));
            let traffic = talk.tunnel.await.unwrap().unwrap();
            assert_eq!((traffic.end(), traffic.duration().as_secs()), (end, 5));
        }
    }

    virtual_time async fn ends_that_do_not_answer_are_left_at_the_close_timeout(near: Side) {
        for (limit, expected) in [(None, 10), (Some(seconds(2)), 2), (Some(seconds(60)), 10)] {
            let websocket = bare().close_timeout(limit);
            let mut talk = talk(near, Table::new(1024), unlimited().half_close_timeout(seconds(10)), websocket);
            talk.drain.complete_now();
            for reported in [talk.near.next().await, talk.far.next().await] {
                assert_eq!(reported, Some(Frame::close(GONE, "shutting down")));
            }
            let traffic = talk.tunnel.await.unwrap().unwrap();
            assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Drained, expected));
        }
    }

    virtual_time async fn the_close_timeout_runs_from_when_the_last_end_was_told(near: Side) {
        let websocket = bare().close_timeout(seconds(2));
        let mut talk = talk(near, Table::new(1024), unlimited().half_close_timeout(seconds(10)), websocket);
        let message = Frame::new(OpCode::Binary, b"in two parts");
        let bytes = message.bytes(near);
        let (one, other) = bytes.split_at(bytes.len() - 3);
        talk.near.stream.write_all(one).await.unwrap();
        sleep(seconds(1)).await;
        talk.drain.complete_now();
        assert_eq!(talk.near.next().await, Some(Frame::close(GONE, "shutting down")));
        sleep(seconds(5)).await;
        talk.near.stream.write_all(other).await.unwrap();
        assert_eq!(talk.far.next().await, Some(message));
        assert_eq!(talk.far.next().await, Some(Frame::close(GONE, "shutting down")));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Drained, 8));
    }

    virtual_time async fn without_a_half_close_timeout_a_vanished_peer_is_still_left(near: Side) {
        let config = unlimited().idle_timeout(seconds(5));
        let talk = talk(near, Table::new(1024), config, bare());
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Idle, 35));
    }

    virtual_time async fn a_half_closed_tunnel_is_drained_by_the_half_that_is_left(near: Side) {
        let config = unlimited().half_close_timeout(seconds(10));
        let mut talk = talk(near, Table::new(1024), config, bare());
        talk.near.stream.shutdown().await.unwrap();
        assert_eq!(talk.far.next().await, None);
        talk.drain.complete_now();
        assert_eq!(talk.near.next().await, Some(Frame::close(GONE, "shutting down")));
        assert_eq!(talk.near.next().await, None);
        drop(talk.far.stream);
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Drained, 0));
        assert_eq!(traffic.close_sent_to(!near), None, "its stream had ended");
    }

    virtual_time async fn a_side_that_takes_nothing_is_left_at_the_half_close_timeout(near: Side) {
        let faults = Faults::none().stall_after_writing(3);
        let table = Table::with_faults(1024, Faults::none(), faults);
        let mut talk = talk(near, table, unlimited().half_close_timeout(seconds(10)), bare());
        talk.drain.complete_now();
        talk.near.receives_close(GONE, "shutting down").await;
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Drained, 10));
        assert_eq!((delivered_from(near, &traffic), delivered_from(!near, &traffic)), (0, 0));
    }

    virtual_time async fn a_stream_that_fails_is_reported_as_ever(near: Side) {
        let faults = Faults::none().reset_after_reading(20);
        let table = Table::with_faults(1024, faults, Faults::none());
        let mut talk = talk(near, table, unlimited(), bare());
        talk.near.send(&Frame::new(OpCode::Binary, &pattern(100))).await;
        let mut received = Vec::new();
        talk.far.stream.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), 20);
        let error = talk.tunnel.await.unwrap().unwrap_err();
        assert_eq!((error.side(), error.traffic().end()), (near, End::Failed { side: near }));
        assert_eq!(delivered_from(near, error.traffic()), 20);
    }

    virtual_time async fn a_reset_behind_a_closing_handshake_is_an_end_in_order(near: Side) {
        let close = Frame::close(CloseCode::NORMAL_CLOSURE, "bye");
        let length = close.bytes(near).len() as u64;
        let table = Table::with_faults(1024, Faults::none().reset_after_reading(length), Faults::none());
        let mut talk = talk(near, table, unlimited().half_close_timeout(seconds(10)), bare());
        talk.far.send(&close).await;
        assert_eq!(talk.near.next().await.as_ref(), Some(&close));
        talk.near.send(&close).await;
        assert_eq!(talk.far.next().await.as_ref(), Some(&close));
        assert_eq!(talk.far.next().await, None, "an end in order");
        let traffic = talk.tunnel.await.unwrap().expect("no failure");
        assert_eq!((traffic.end(), traffic.duration().as_millis()), (End::Closed { first: near }, 0));
        let answered = close.bytes(!near).len() as u64;
        assert_eq!((delivered_from(near, &traffic), delivered_from(!near, &traffic)), (length, answered));
    }

    virtual_time async fn what_was_said_before_the_closes_is_delivered_before_a_reset_is_an_end(near: Side) {
        let (close, message) = (Frame::close(CloseCode::NORMAL_CLOSURE, ""), Frame::new(OpCode::Binary, &pattern(5000)));
        let said = [message.bytes(near), close.bytes(near)].concat();
        // Takes 100 bytes and then nothing until they are read.
        let table = Table::with_faults(100, Faults::none().reset_after_reading(said.len() as u64), Faults::none());
        let mut talk = talk(near, table, unlimited().half_close_timeout(seconds(10)), bare());
        talk.far.send(&close).await;
        assert_eq!(talk.near.next().await.as_ref(), Some(&close));
        let mut one = talk.near;
        let sender = tokio::spawn(async move { one.stream.write_all(&said).await });
        tokio::time::sleep(seconds(5)).await;
        assert_eq!(talk.far.next().await, Some(message));
        assert_eq!(talk.far.next().await.as_ref(), Some(&close));
        assert_eq!(talk.far.next().await, None);
        let _ = sender.await.unwrap();
        assert!(matches!(talk.tunnel.await.unwrap().expect("no failure").end(), End::Closed { .. }));
    }

    virtual_time async fn a_reset_behind_one_close_is_a_failure(near: Side) {
        let close = Frame::close(CloseCode::NORMAL_CLOSURE, "bye");
        for near_closes in [true, false] {
            let read = if near_closes { close.bytes(near).len() as u64 } else { 0 };
            let table = Table::with_faults(1024, Faults::none().reset_after_reading(read), Faults::none());
            let mut talk = talk(near, table, unlimited().half_close_timeout(seconds(10)), bare());
            if near_closes {
                talk.near.send(&close).await;
                assert_eq!(talk.far.next().await.as_ref(), Some(&close));
            } else {
                talk.far.send(&close).await;
            }
            let _ = talk.near.stream.write_all(b"!").await;
            let error = talk.tunnel.await.unwrap().unwrap_err();
            assert_eq!(error.side(), near);
        }
    }
}
