//! What becomes of a message by each decision and each verdict.

use switchover::tunnel::End;

use super::*;

/// What goes on of the message.
#[derive(Clone, Copy, Debug)]
enum GoesOn {
    /// Every frame where it was.
    InPlace,
    /// Every frame as it came, behind the control frames between them.
    Held,
    Replaced(&'static str),
    Nothing,
}

type Row = (&'static str, fn() -> Decision, fn() -> Verdict, GoesOn);

const ROWS: [Row; 9] = [
    ("pass", || Decision::Pass, || unreachable!(), GoesOn::InPlace),
    (
        "observe",
        || Decision::Observe,
        || unreachable!(),
        GoesOn::InPlace,
    ),
    ("drop", || Decision::Drop, || unreachable!(), GoesOn::Nothing),
    (
        "read and pass",
        || Decision::Read(5),
        || Verdict::Pass,
        GoesOn::Held,
    ),
    (
        "read and drop",
        || Decision::Read(5),
        || Verdict::Drop,
        GoesOn::Nothing,
    ),
    (
        "read and replace",
        || Decision::Read(100),
        || Verdict::Replace("something longer".into()),
        GoesOn::Replaced("something longer"),
    ),
    (
        "replace by nothing",
        || Decision::Read(5),
        || Verdict::Replace(Bytes::new()),
        GoesOn::Replaced(""),
    ),
    (
        "wait and pass",
        || Decision::Read(5),
        || Verdict::wait(async { Verdict::Pass }),
        GoesOn::Held,
    ),
    (
        "wait twice and replace",
        || Decision::Read(5),
        || {
            Verdict::wait(async {
                tokio::time::sleep(seconds(1)).await;
                Verdict::wait(async { Verdict::Replace("late".into()) })
            })
        },
        GoesOn::Replaced("late"),
    ),
];

/// "hello" in one frame, and in four with control frames between them, one of them empty.
fn shapes() -> [Vec<Frame>; 2] {
    let part = |text: &str| Frame::new(OpCode::Continuation, text.as_bytes());
    [
        vec![Frame::text("hello")],
        vec![
            Frame::text("he").not_last(),
            Frame::new(OpCode::Ping, b"between"),
            part("ll").not_last(),
            part("").not_last(),
            Frame::new(OpCode::Pong, b""),
            part("o"),
        ],
    ]
}

fn expected(shape: &[Frame], goes_on: GoesOn) -> Vec<Frame> {
    let (controls, message): (Vec<Frame>, Vec<Frame>) =
        shape.iter().cloned().partition(|frame| frame.opcode.is_control());
    match goes_on {
        GoesOn::InPlace => shape.to_vec(),
        GoesOn::Held => [controls, message].concat(),
        GoesOn::Replaced(text) => [controls, vec![Frame::text(text)]].concat(),
        GoesOn::Nothing => controls,
    }
}

mirrored! {
    virtual_time async fn every_decision_and_every_verdict(near: Side) {
        for (name, decision, verdict, goes_on) in ROWS {
            for shape in shapes() {
                for byte_by_byte in [false, true] {
                    let tap = Closures::new(move |head| match head.is_text() && head.sender() == near {
                        true => decision(),
                        false => Decision::Pass,
                    });
                    let tap = tap.read(move |_, payload| {
                        assert_eq!(payload, "hello");
                        verdict()
                    });
                    let mut talk = under(near, tap);
                    let after = Frame::new(OpCode::Binary, b"after");
                    let sent: Vec<u8> = shape.iter().chain([&after]).flat_map(|frame| frame.bytes(near)).collect();
                    for piece in sent.chunks(if byte_by_byte { 1 } else { sent.len() }) {
                        talk.near.stream.write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    talk.far.send(&Frame::text("of the other")).await;
                    assert_eq!(talk.near.next().await, Some(Frame::text("of the other")));
                    let mut frames = expected(&shape, goes_on);
                    frames.push(after);
                    let mut moved = 0;
                    for frame in &frames {
                        assert_eq!(talk.far.next().await.as_ref(), Some(frame), "{name}, {shape:?}");
                        moved += frame.bytes(near).len() as u64;
                    }
                    talk.near.stream.shutdown().await.unwrap();
                    assert_eq!(talk.far.next().await, None);
                    drop(talk.far.stream);
                    let traffic = talk.tunnel.await.unwrap().unwrap();
                    assert_eq!(delivered_from(near, &traffic), moved, "{name}: what went out is counted");
                }
            }
        }
    }

    virtual_time async fn what_passes_keeps_its_masks_and_what_is_replaced_gets_one_of_its_own(near: Side) {
        let tap = reads_text_of(near, 100).read(|_, payload| match &payload[..] {
            b"keep" => Verdict::Pass,
            _ => Verdict::Replace("other".into()),
        });
        let mut talk = under(near, tap);
        for _ in 0..2 {
            talk.near.send(&Frame::text("keep")).await;
            talk.near.send(&Frame::text("change")).await;
        }
        let keep = Frame::text("keep").bytes(near);
        let changed = Frame::text("other").bytes(near).len();
        let mut received = vec![0; 2 * (keep.len() + changed)];
        talk.far.stream.read_exact(&mut received).await.unwrap();
        let (first, second) = received.split_at(keep.len() + changed);
        assert_eq!((&first[..keep.len()], &second[..keep.len()]), (&keep[..], &keep[..]));
        let (first, second) = (&first[keep.len()..], &second[keep.len()..]);
        assert_eq!(first_frame(first, near).unwrap().0, Frame::text("other"));
        match near {
            // A server's frame has no mask.
            Side::Upstream => assert_eq!(first, second),
            Side::Downstream => assert_ne!(first[2..6], second[2..6], "a key that can be predicted"),
        }
    }

    virtual_time async fn a_decision_knows_the_head_alone(near: Side) {
        let (heads, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let tap = Closures::new(move |head| {
            heads.send(head.clone()).unwrap();
            Decision::Pass
        });
        let mut talk = under(near, tap);
        // The header only: the payload never comes.
        talk.near.send(&Frame::new(OpCode::Binary, b"whole")).await;
        let bytes = Frame::new(OpCode::Text, &[b'x'; 300]).not_last().bytes(near);
        talk.near.stream.write_all(&bytes[..bytes.len() - 300]).await.unwrap();
        let (first, second) = (seen.recv().await.unwrap(), seen.recv().await.unwrap());
        assert_eq!((first.sender(), first.opcode(), first.is_text()), (near, OpCode::Binary, false));
        assert_eq!((first.is_whole(), first.first_frame_length(), first.is_compressed()), (true, 5, false));
        assert_eq!((second.is_text(), second.is_whole(), second.first_frame_length()), (true, false, 300));
    }

    virtual_time async fn one_that_is_too_long_ends_the_tunnel_with_1009_to_its_sender(near: Side) {
        let part = |length| Frame::new(OpCode::Continuation, &[b'x'; 1000][..length]);
        let text = |length| Frame::new(OpCode::Text, &[b'x'; 1000][..length]);
        // Only the header of the last one comes, but for the first.
        let cases: [Vec<Frame>; 3] = [
            vec![text(11)],
            vec![text(4).not_last(), part(6).not_last(), part(1)],
            vec![text(0).not_last(), part(1000)],
        ];
        for frames in cases {
            let mut talk = under(near, reads_text_of(near, 10).read(|_, _| unreachable!("it is not whole")));
            let (last, before) = frames.split_last().unwrap();
            talk.near.send(&Frame::new(OpCode::Binary, b"before")).await;
            for frame in before {
                talk.near.send(frame).await;
            }
            let bytes = last.bytes(near);
            talk.near.stream.write_all(&bytes[..bytes.len() - last.payload.len()]).await.unwrap();
            assert_eq!(talk.far.next().await, Some(Frame::new(OpCode::Binary, b"before")));
            talk.far.receives_close(CloseCode::GOING_AWAY, "a message of the other side was refused").await;
            assert_eq!(
                talk.near.next().await,
                Some(Frame::close(CloseCode::MESSAGE_TOO_BIG, "the message is too big"))
            );
            drop((talk.near.stream, talk.far.stream));
            let traffic = talk.tunnel.await.unwrap().unwrap();
            assert_eq!(traffic.end(), End::Refused { side: near });
            assert_eq!(traffic.end().to_string(), format!("a message from {near} was refused"));
        }
        let mut talk = under(near, reads_text_of(near, 10));
        let at_the_limit = [text(4).not_last(), part(6)];
        for frame in &at_the_limit {
            talk.near.send(frame).await;
        }
        for frame in at_the_limit {
            assert_eq!(talk.far.next().await, Some(frame));
        }
    }

    virtual_time async fn one_that_never_ends_takes_no_more_memory_than_it_may(near: Side) {
        // Frames without payload are not free either.
        let mut talk = under(near, reads_text_of(near, 1000));
        talk.near.send(&Frame::new(OpCode::Text, b"x").not_last()).await;
        let part = Frame::new(OpCode::Continuation, b"").not_last().bytes(near);
        let mut sent = 0;
        let close = loop {
            tokio::select! {
                biased;
                close = talk.near.next() => break close,
                () = tokio::time::sleep(milliseconds(1)) => {
                    let _ = talk.near.stream.write_all(&part).await;
                    sent += part.len();
                }
            }
        };
        assert_eq!(close, Some(Frame::close(CloseCode::MESSAGE_TOO_BIG, "the message is too big")));
        assert!(sent < 18 * 1024, "{sent} bytes of headers");
    }

    virtual_time async fn what_is_dropped_may_be_of_any_length(near: Side) {
        let tap = Closures::new(|head| if head.is_text() { Decision::Drop } else { Decision::Pass });
        let mut talk = under(near, tap);
        let frame = Frame::new(OpCode::Text, &pattern(3_000_000));
        talk.near.send(&frame).await;
        talk.near.send(&Frame::new(OpCode::Binary, b"after")).await;
        assert_eq!(talk.far.next().await, Some(Frame::new(OpCode::Binary, b"after")));
        assert_eq!(talk.watch.last_activity(), tokio::time::Instant::now(), "the tunnel is not idle");
    }

    virtual_time async fn a_close_of_the_taps_own_goes_to_both(near: Side) {
        for reads in [false, true] {
            let decide = move |head: &MessageHead| match (head.is_text(), reads) {
                (true, true) => Decision::Read(100),
                (true, false) => Decision::Close(close(4008, "no more")),
                _ => Decision::Pass,
            };
            let tap = Closures::new(decide).read(|_, _| Verdict::Close(close(4008, "no more")));
            let mut talk = under(near, tap);
            talk.far.send(&Frame::new(OpCode::Binary, b"said before")).await;
            assert_eq!(talk.near.next().await, Some(Frame::new(OpCode::Binary, b"said before")));
            talk.near.send(&Frame::new(OpCode::Binary, b"said before")).await;
            talk.near.send(&Frame::text("one")).await;
            talk.near.send(&Frame::text("two")).await;
            assert_eq!(talk.far.next().await, Some(Frame::new(OpCode::Binary, b"said before")));
            talk.far.receives_close(CloseCode(4008), "no more").await;
            talk.near.receives_close(CloseCode(4008), "no more").await;
            drop((talk.near.stream, talk.far.stream));
            let traffic = talk.tunnel.await.unwrap().unwrap();
            assert_eq!(traffic.end(), End::Refused { side: near });
            for side in [near, !near] {
                assert_eq!(traffic.close_sent_to(side).unwrap().to_string(), "4008 \"no more\"");
            }
        }
    }

    virtual_time async fn what_is_held_when_its_sender_leaves_does_not_go_on(near: Side) {
        let begun = Frame::text("not ").not_last().bytes(near);
        let cut = &Frame::new(OpCode::Continuation, b"whole").bytes(near)[..3];
        let close = Frame::close(CloseCode::NORMAL_CLOSURE, "bye");
        for (behind, received) in [(cut.to_vec(), None), (close.bytes(near), Some(close))] {
            let mut talk = under(near, reads_text_of(near, 100));
            talk.near.stream.write_all(&[&begun[..], &behind].concat()).await.unwrap();
            talk.near.stream.shutdown().await.unwrap();
            if received.is_some() {
                assert_eq!(talk.far.next().await, received);
            }
            assert_eq!(talk.far.next().await, None);
        }
    }

    virtual_time async fn a_drain_does_not_wait_for_what_is_held(near: Side) {
        let mut talk = under(near, reads_text_of(near, 100));
        talk.near.send(&Frame::text("not whole").not_last()).await;
        tokio::time::sleep(seconds(1)).await;
        talk.drain.complete_now();
        talk.far.receives_close(CloseCode::GOING_AWAY, "shutting down").await;
        talk.near.receives_close(CloseCode::GOING_AWAY, "shutting down").await;
        drop((talk.near.stream, talk.far.stream));
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::Drained);
    }

    virtual_time async fn limits_come_first(near: Side) {
        let limits = switchover::tunnel::MessageLimits::default().max_message_bytes(10);
        let websocket = bare().limits(limits);
        let tap = Closures::new(|_| unreachable!("it is over the limit"));
        let mut talk = tapped(near, Table::new(1000), websocket, Tap::new(tap)).0;
        talk.near.send(&Frame::text("eleven byte")).await;
        assert_eq!(talk.near.next().await.unwrap().opcode, OpCode::Close);
        drop((talk.near.stream, talk.far.stream));
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end().name(), "limit-exceeded");
    }

    virtual_time async fn what_waits_for_its_rate_is_decided_about_once(near: Side) {
        let rate = switchover::tunnel::Rate::per_second(1);
        let limits = switchover::tunnel::MessageLimits::default().message_rate(rate).throttle(true);
        let websocket = bare().limits(limits);
        let tap = reads_text_of(near, 100).read(|_, payload| Verdict::Replace([payload, &b"!"[..]].concat().into()));
        let mut talk = tapped(near, Table::new(1000), websocket, Tap::new(tap)).0;
        for word in ["one", "two", "three"] {
            talk.near.send(&Frame::text(word)).await;
        }
        for word in ["one!", "two!", "three!"] {
            assert_eq!(talk.far.next().await, Some(Frame::text(word)));
        }
    }
}
