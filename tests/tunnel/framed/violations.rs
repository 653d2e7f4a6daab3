//! A frame that may not be sent goes nowhere, and both sides are notified.

use switchover::tunnel::End;
use switchover::websocket::FrameError;
use tokio::time::sleep;

use super::*;

/// Bytes that are no frame of this side's, and what is wrong with them.
fn wrong(side: Side) -> Vec<(Vec<u8>, FrameError)> {
    let good = Frame::text("").bytes(side);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let mask = match side {
        Side::Downstream => FrameError::MaskMissing,
        Side::Upstream => FrameError::MaskForbidden,
    };
    vec![
        (with(&|bytes| bytes[0] = 0x83), FrameError::ReservedOpCode(3)),
        (with(&|bytes| bytes[0] |= 0x40), FrameError::ReservedBit(1)),
        (with(&|bytes| bytes[0] |= 0x10), FrameError::ReservedBit(3)),
        (Frame::text("").bytes(!side), mask),
        (
            with(&|bytes| bytes[0] = 0x09),
            FrameError::ControlFragmented(OpCode::Ping),
        ),
        (
            with(&|bytes| {
                bytes[0] = 0x88;
                bytes[1] |= 126;
            }),
            FrameError::ControlTooLong(OpCode::Close),
        ),
        (with(&|bytes| bytes[0] = 0x80), FrameError::NothingToContinue),
        (
            [
                Frame::text("").not_last().bytes(side),
                Frame::text("").bytes(side),
            ]
            .concat(),
            FrameError::MessageInterrupted(OpCode::Text),
        ),
        (b"GET / HTTP/1.1\r\n".to_vec(), FrameError::ReservedBit(1)),
    ]
}

/// The `GET` of a request is a frame of a reserved opcode.
fn read_as(bytes: &[u8], error: FrameError) -> FrameError {
    match bytes {
        [b'G', ..] => FrameError::ReservedOpCode(7),
        _ => error,
    }
}

/// One wrong frame of this side's, and what is wrong with it.
fn bad(side: Side) -> (Vec<u8>, FrameError) {
    wrong(side).swap_remove(0)
}

fn reported(error: FrameError) -> Frame {
    Frame::close(CloseCode::PROTOCOL_ERROR, &error.to_string())
}

/// What the other side is notified of the one that has sent a wrong frame.
pub(crate) fn close_for(violator: Side, error: FrameError) -> Frame {
    let (code, name) = match violator {
        Side::Downstream => (CloseCode::PROTOCOL_ERROR, "client"),
        Side::Upstream => (CloseCode::BAD_GATEWAY, "server"),
    };
    Frame::close(code, &format!("the {name} broke the protocol: {error}"))
}

/// With a limit on the answer to a Close, within a half-close timeout of ten seconds.
fn limited(near: Side, seconds_to_close: u64) -> Talk {
    let config = unlimited().half_close_timeout(seconds(10));
    let websocket = bare().close_timeout(seconds(seconds_to_close));
    talk(near, Table::new(1024), config, websocket)
}

async fn has_ended(talk: Talk, error: FrameError, after: u64) {
    drop((talk.near.stream, talk.far.stream));
    let traffic = talk.tunnel.await.unwrap().unwrap();
    assert_eq!(
        traffic.end(),
        End::Violation {
            side: talk.near.side,
            error
        }
    );
    assert_eq!(traffic.duration().as_secs(), after);
}

mirrored! {
    virtual_time async fn one_that_reads_late_gets_its_close_where_the_other_side_has_ended_before(near: Side) {
        let config = unlimited().half_close_timeout(seconds(30));
        let mut talk = talk(near, Table::new(1024), config, WebSocketConfig::default());
        let frame = Frame::new(OpCode::Binary, &pattern(3000));
        talk.far.send(&frame).await;
        talk.far.stream.shutdown().await.unwrap();
        sleep(seconds(1)).await;
        talk.near.send(&Frame::new(OpCode::Continuation, b"of nothing")).await;
        sleep(seconds(1)).await;
        assert_eq!(talk.near.next().await, Some(frame));
        let error = FrameError::NothingToContinue;
        assert_eq!(talk.near.next().await, Some(Frame::close(CloseCode::PROTOCOL_ERROR, &error.to_string())));
        assert_eq!(talk.near.next().await, None);
        drop(talk.near.stream);
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.end(), End::Violation { side: near, error });
    }

    virtual_time async fn both_sides_are_told(near: Side) {
        for (bytes, error) in wrong(near) {
            let error = read_as(&bytes, error);
            let mut talk = quiet(near);
            talk.near.stream.write_all(&[Frame::text("before").bytes(near), bytes.clone()].concat()).await.unwrap();
            talk.near.send(&Frame::text("after")).await;
            assert_eq!(talk.far.next().await, Some(Frame::text("before")));
            let mut close = talk.far.next().await;
            if close == Some(Frame::text("").not_last()) {
                close = talk.far.next().await;
            }
            assert_eq!(close, Some(close_for(near, error)));
            talk.far.send(&Frame::close(CloseCode::PROTOCOL_ERROR, "")).await;
            assert_eq!(talk.far.next().await, None);
            assert_eq!(talk.near.next().await, Some(reported(error)));
            assert_eq!(talk.near.next().await, None);
            drop((talk.near.stream, talk.far.stream));
            let traffic = talk.tunnel.await.unwrap().unwrap();
            assert_eq!(traffic.end(), End::Violation { side: near, error });
            assert_eq!((traffic.duration().as_secs(), traffic.close_from(near)), (0, None));
            assert!(traffic.to_string().contains(&format!("{near} broke the WebSocket protocol: {error}")), "{traffic}");
        }
    }

    virtual_time async fn a_header_that_comes_in_bytes_is_judged_before_it_goes_on(near: Side) {
        let mut talk = quiet(near);
        let mut bytes = Frame::text("hello").bytes(!near);
        bytes.truncate(2);
        for byte in bytes {
            talk.near.stream.write_all(&[byte]).await.unwrap();
            tokio::time::sleep(seconds(1)).await;
        }
        talk.near.stream.write_all(&[0; 20]).await.unwrap();
        assert_eq!(talk.far.next().await.unwrap().opcode, OpCode::Close);
        assert_eq!(talk.near.next().await.unwrap().opcode, OpCode::Close);
    }

    virtual_time async fn what_the_other_side_is_in_the_middle_of_is_finished(near: Side) {
        let mut talk = quiet(near);
        let bytes = Frame::text("slow").bytes(!near);
        let (start, end) = bytes.split_at(bytes.len() - 2);
        talk.far.stream.write_all(start).await.unwrap();
        tokio::time::sleep(seconds(1)).await;
        talk.near.stream.write_all(&[0xff; 20]).await.unwrap();
        tokio::time::sleep(seconds(1)).await;
        talk.far.stream.write_all(end).await.unwrap();
        talk.far.send(&Frame::close(CloseCode::NORMAL_CLOSURE, "")).await;
        assert_eq!(talk.near.next().await, Some(Frame::text("slow")));
        assert_eq!(talk.near.next().await.unwrap().opcode, OpCode::Close);
    }

    virtual_time async fn a_bit_that_was_agreed_may_be_set(near: Side) {
        let websocket = bare().reserved_bits([true, false, false]);
        let talk = talk(near, Table::new(1024), unlimited(), websocket);
        let (mut one, mut other) = (talk.near, talk.far);
        let mut bytes = Frame::text("hello").bytes(near);
        bytes[0] |= 0x40;
        one.stream.write_all(&bytes).await.unwrap();
        let mut received = vec![0; bytes.len()];
        other.stream.read_exact(&mut received).await.unwrap();
        assert_eq!(received, bytes);
    }

    virtual_time async fn what_was_sent_before_is_still_answered(near: Side) {
        for (bytes, error) in wrong(near) {
            let error = read_as(&bytes, error);
            // An answer in one frame, in fragments, and one that a Ping of the answerer's stands in.
            let answers = [
                vec![Frame::text("answer")],
                vec![Frame::text("an").not_last(), Frame::new(OpCode::Continuation, b"swer")],
                vec![Frame::text("an").not_last(), Frame::new(OpCode::Ping, b"!"), Frame::new(OpCode::Continuation, b"")],
                vec![],
            ];
            for answer in answers {
                let mut talk = quiet(near);
                let sent = [Frame::text("question").bytes(near), bytes.clone()].concat();
                talk.near.stream.write_all(&sent).await.unwrap();
                assert_eq!(talk.far.next().await, Some(Frame::text("question")));
                let mut close = talk.far.next().await;
                if close == Some(Frame::text("").not_last()) {
                    close = talk.far.next().await;
                }
                assert_eq!(close, Some(close_for(near, error)), "at once");
                for frame in &answer {
                    talk.far.send(frame).await;
                    assert_eq!(talk.near.next().await.as_ref(), Some(frame));
                    tokio::time::sleep(seconds(1)).await;
                }
                // In one write with the Close, and in one without.
                let last = [Frame::text("last").bytes(!near), Frame::close(CloseCode(4000), "bye").bytes(!near)].concat();
                let (one, other) = last.split_at(if answer.len() == 1 { last.len() } else { last.len() - 3 });
                talk.far.stream.write_all(one).await.unwrap();
                if answer.len() != 2 {
                    talk.far.stream.write_all(other).await.unwrap();
                } else {
                    tokio::time::sleep(seconds(1)).await;
                    talk.far.stream.write_all(other).await.unwrap();
                }
                assert_eq!(talk.near.next().await, Some(Frame::text("last")));
                assert_eq!(talk.near.next().await, Some(reported(error)), "in the place of the other's");
                assert_eq!(talk.near.next().await, None);
                assert_eq!(talk.far.next().await, None);
                let took = answer.len() as u64 + u64::from(answer.len() == 2);
                has_ended(talk, error, took).await;
            }
        }
    }

    virtual_time async fn the_close_in_the_place_of_the_others_is_the_tunnels_own(near: Side) {
        let (bytes, error) = bad(near);
        let mut talk = quiet(near);
        talk.near.stream.write_all(&bytes).await.unwrap();
        assert_eq!(talk.far.next().await, Some(close_for(near, error)));
        let answer = [Frame::text("answer"), Frame::close(CloseCode(4000), "bye")];
        for frame in &answer {
            talk.far.send(frame).await;
        }
        assert_eq!(talk.near.next().await.as_ref(), Some(&answer[0]));
        assert_eq!(talk.near.next().await, Some(reported(error)));
        drop((talk.near.stream, talk.far.stream));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.close_from(!near).unwrap().to_string(), "4000 \"bye\"");
        assert_eq!(traffic.close_from(near), None);
        let sent = traffic.close_sent_to(near).unwrap().to_string();
        assert_eq!(sent, format!("1002 Protocol error \"{error}\""));
        let answered = answer[0].bytes(!near).len() as u64;
        assert_eq!((delivered_from(near, &traffic), delivered_from(!near, &traffic)), (0, answered));
    }

    virtual_time async fn a_side_that_does_not_close_is_waited_for_until_the_close_timeout(near: Side) {
        // Silent, and one that says much and nothing of an end.
        for talks in [false, true] {
            let (bytes, error) = bad(near);
            let mut talk = limited(near, 2);
            talk.near.stream.write_all(&bytes).await.unwrap();
            assert_eq!(talk.far.next().await, Some(close_for(near, error)));
            if talks {
                for _ in 0..3 {
                    talk.far.send(&Frame::text("more")).await;
                    assert_eq!(talk.near.next().await, Some(Frame::text("more")));
                    tokio::time::sleep(milliseconds(500)).await;
                }
            }
            let started = tokio::time::Instant::now();
            assert_eq!(talk.near.next().await, Some(reported(error)));
            assert_eq!(started.elapsed().as_millis(), if talks { 500 } else { 2000 });
            assert_eq!(talk.near.next().await, None);
            assert_eq!(talk.far.next().await, None);
            has_ended(talk, error, 2).await;
        }
    }

    virtual_time async fn without_a_close_timeout_it_is_waited_for_until_the_half_close_timeout(near: Side) {
        let (bytes, error) = bad(near);
        let mut talk = quiet(near);
        talk.near.stream.write_all(&bytes).await.unwrap();
        assert_eq!(talk.near.next().await, Some(reported(error)));
        assert_eq!(talk.near.next().await, None);
        has_ended(talk, error, 10).await;
    }

    virtual_time async fn a_side_that_is_within_a_frame_at_the_close_timeout_has_a_moment_to_finish_it(near: Side) {
        let message = Frame::text("in two parts");
        for (late, gets_it) in [(200, true), (300, false)] {
            let (bytes, error) = bad(near);
            let mut talk = limited(near, 2);
            talk.near.stream.write_all(&bytes).await.unwrap();
            let parts = message.bytes(!near);
            let (one, other) = parts.split_at(parts.len() - 3);
            talk.far.stream.write_all(one).await.unwrap();
            tokio::time::sleep(milliseconds(2000 + late)).await;
            let _ = talk.far.stream.write_all(other).await;
            if gets_it {
                assert_eq!(talk.near.next().await.as_ref(), Some(&message));
                assert_eq!(talk.near.next().await, Some(reported(error)));
                assert_eq!(talk.near.next().await, None);
            }
            let traffic = talk.tunnel.await.unwrap().unwrap();
            assert_eq!(traffic.end(), End::Violation { side: near, error });
            assert!(traffic.duration() <= milliseconds(2500), "{traffic}");
        }
    }

    virtual_time async fn a_side_that_ends_without_a_close_has_said_all(near: Side) {
        let (bytes, error) = bad(near);
        let mut talk = quiet(near);
        talk.near.stream.write_all(&bytes).await.unwrap();
        assert_eq!(talk.far.next().await, Some(close_for(near, error)));
        talk.far.send(&Frame::text("answer")).await;
        talk.far.stream.shutdown().await.unwrap();
        assert_eq!(talk.near.next().await, Some(Frame::text("answer")));
        assert_eq!(talk.near.next().await, Some(reported(error)));
        assert_eq!(talk.near.next().await, None);
        has_ended(talk, error, 0).await;
    }

    virtual_time async fn a_side_that_is_reset_has_said_all(near: Side) {
        let (bytes, error) = bad(near);
        let answer = Frame::text("answer");
        let faults = Faults::none().reset_after_reading(answer.bytes(!near).len() as u64);
        let table = Table::with_faults(1024, Faults::none(), faults);
        let mut talk = talk(near, table, unlimited().half_close_timeout(seconds(10)), bare());
        talk.near.stream.write_all(&bytes).await.unwrap();
        assert_eq!(talk.far.next().await, Some(close_for(near, error)));
        talk.far.send(&answer).await;
        let _ = talk.far.stream.write_all(b"lost").await;
        assert_eq!(talk.near.next().await.as_ref(), Some(&answer));
        assert_eq!(talk.near.next().await, Some(reported(error)));
        assert_eq!(talk.near.next().await, None);
        has_ended(talk, error, 0).await;
    }

    virtual_time async fn a_side_that_has_ended_its_stream_before_gets_its_close(near: Side) {
        let (bytes, error) = bad(near);
        let mut talk = quiet(near);
        talk.far.stream.shutdown().await.unwrap();
        assert_eq!(talk.near.next().await, None);
        talk.near.stream.write_all(&bytes).await.unwrap();
        assert_eq!(talk.far.next().await, Some(close_for(near, error)));
        assert_eq!(talk.far.next().await, None);
        has_ended(talk, error, 0).await;
    }

    virtual_time async fn a_violator_that_takes_nothing_is_left_at_the_half_close_timeout(near: Side) {
        let (bytes, error) = bad(near);
        let faults = Faults::none().stall_after_writing(3);
        let table = Table::with_faults(1024, faults, Faults::none());
        let mut talk = talk(near, table, unlimited().half_close_timeout(seconds(10)), bare());
        talk.near.stream.write_all(&bytes).await.unwrap();
        assert_eq!(talk.far.next().await, Some(close_for(near, error)));
        talk.far.send(&Frame::text("answer")).await;
        talk.far.send(&Frame::close(CloseCode::NORMAL_CLOSURE, "")).await;
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Violation { side: near, error }, 10));
    }

    virtual_time async fn both_may_break_the_protocol(near: Side) {
        let (bytes, error) = bad(near);
        let mut talk = quiet(near);
        talk.near.stream.write_all(&bytes).await.unwrap();
        assert_eq!(talk.far.next().await, Some(close_for(near, error)));
        talk.far.send(&Frame::text("answer")).await;
        talk.far.stream.write_all(&bad(!near).0).await.unwrap();
        assert_eq!(talk.near.next().await, Some(Frame::text("answer")));
        assert_eq!(talk.near.next().await, Some(reported(error)));
        assert_eq!(talk.near.next().await, None);
        has_ended(talk, error, 0).await;
    }

    virtual_time async fn a_ping_of_the_tunnels_own_is_not_waited_for(near: Side) {
        let (bytes, error) = bad(near);
        let config = unlimited().half_close_timeout(seconds(10));
        let mut talk = talk(near, Table::new(1024), config, pinging(5));
        // Within a frame, so that the ping to the other has to wait for its place.
        let message = Frame::text("in two parts");
        let parts = message.bytes(!near);
        talk.far.stream.write_all(&parts[..parts.len() - 3]).await.unwrap();
        tokio::time::sleep(seconds(7)).await;
        talk.near.stream.write_all(&bytes).await.unwrap();
        tokio::time::sleep(milliseconds(100)).await;
        talk.far.stream.write_all(&parts[parts.len() - 3..]).await.unwrap();
        talk.far.send(&Frame::close(CloseCode::NORMAL_CLOSURE, "")).await;
        assert_eq!(talk.near.next().await.as_ref(), Some(&message));
        assert_eq!(talk.near.next().await, Some(reported(error)));
        assert_eq!(talk.near.next().await, None);
        drop((talk.near.stream, talk.far.stream));
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::Violation { side: near, error });
    }
}
