//! Limits on what one side sends: what is within them passes as it is, the first frame beyond them goes nowhere, and a rate may make
//! its sender wait.

use bytes::Bytes;
use proptest::prelude::*;
use switchover::tunnel::{End, EndRequest, MessageLimit, MessageLimits, Rate};
use tokio::time::{Instant, sleep};

use super::*;

const GONE: CloseCode = CloseCode::GOING_AWAY;

fn limits() -> MessageLimits {
    MessageLimits::default()
}

fn part(length: usize) -> Frame {
    Frame::new(OpCode::Binary, &pattern(length)).not_last()
}

fn more(length: usize) -> Frame {
    Frame::new(OpCode::Continuation, &pattern(length)).not_last()
}

fn last(length: usize) -> Frame {
    Frame::new(OpCode::Continuation, &pattern(length))
}

fn ping() -> Frame {
    Frame::new(OpCode::Ping, b"of my own")
}

/// Limits, what is within them, and what is not: which limit that exceeds, what it allows, and what its sender is notified.
struct Case {
    limits: MessageLimits,
    within: Vec<Frame>,
    beyond: Frame,
    limit: MessageLimit,
    allowed: u64,
    reason: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |limits, within: &[Frame], beyond, (limit, allowed), reason| Case {
        limits,
        within: within.to_vec(),
        beyond,
        limit,
        allowed,
        reason,
    };
    vec![
        case(
            limits().max_frame_bytes(200),
            &[
                Frame::new(OpCode::Binary, &pattern(200)),
                part(200),
                ping(),
                last(200),
            ],
            Frame::new(OpCode::Binary, &pattern(201)),
            (MessageLimit::FrameBytes, 200),
            "more than 200 bytes in a frame",
        ),
        case(
            limits().max_message_bytes(200),
            &[
                Frame::new(OpCode::Text, &[b'x'; 200]),
                part(100),
                more(0),
                ping(),
                more(100),
            ],
            last(1),
            (MessageLimit::MessageBytes, 200),
            "more than 200 bytes in a message",
        ),
        case(
            limits().max_fragments(3),
            &[part(1), more(1), last(1), part(0), more(0), ping(), more(0)],
            last(0),
            (MessageLimit::Fragments, 3),
            "more than 3 frames in a message",
        ),
        case(
            limits().control_frame_rate(Rate::per_second(2)),
            &[
                Frame::text("a"),
                ping(),
                Frame::text("b"),
                Frame::new(OpCode::Pong, b""),
            ],
            ping(),
            (MessageLimit::ControlFrameRate, 2),
            "more than 2 control frames per second",
        ),
        case(
            limits().message_rate(Rate::per_second(1).burst(3)),
            &[Frame::text("a"), part(1), ping(), last(1), Frame::text("")],
            Frame::text("b"),
            (MessageLimit::MessageRate, 1),
            "more than 1 messages per second",
        ),
        case(
            limits().byte_rate(Rate::per_second(10).burst(200)),
            &[Frame::new(OpCode::Binary, &pattern(150)), ping(), part(30)],
            last(100),
            (MessageLimit::ByteRate, 10),
            "more than 10 bytes per second",
        ),
    ]
}

/// What the other side is notified of the one that has exceeded a limit.
fn close_for(sender: Side) -> Frame {
    let name = match sender {
        Side::Downstream => "client",
        Side::Upstream => "server",
    };
    Frame::close(GONE, &format!("the {name} exceeded a limit"))
}

impl Case {
    /// From here on, both have to be notified.
    async fn is_over(&self, mut talk: Talk) {
        let near = talk.near.side;
        for frame in &self.within {
            assert_eq!(talk.far.next().await.as_ref(), Some(frame), "{}", self.reason);
        }
        assert_eq!(talk.far.next().await, Some(close_for(near)), "{}", self.reason);
        // What it says to what came before still arrives, and its Close makes place for the one of the tunnel's own.
        talk.far.send(&Frame::text("answer")).await;
        talk.far.send(&Frame::close(GONE, "")).await;
        assert_eq!(talk.far.next().await, None);
        assert_eq!(talk.near.next().await, Some(Frame::text("answer")));
        let code = self.limit.close_code();
        assert_eq!(talk.near.next().await, Some(Frame::close(code, self.reason)));
        assert_eq!(talk.near.next().await, None);
        drop((talk.near.stream, talk.far.stream));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        let (limit, allowed) = (self.limit, self.allowed);
        assert_eq!(
            traffic.end(),
            End::LimitExceeded {
                side: near,
                limit,
                allowed
            }
        );
        assert_eq!(traffic.duration().as_secs(), 0);
        assert_eq!(
            traffic.close_sent_to(near).and_then(|close| close.code()),
            Some(code)
        );
        assert_eq!(
            traffic.close_sent_to(!near).and_then(|close| close.code()),
            Some(GONE)
        );
        let within = self
            .within
            .iter()
            .map(|frame| frame.bytes(near).len() as u64)
            .sum::<u64>();
        assert_eq!(delivered_from(near, &traffic), within, "{}", self.reason);
        let text = format!("{near} sent {}", self.reason);
        assert!(traffic.to_string().contains(&text), "{traffic}");
    }
}

fn limited(near: Side, limits: MessageLimits) -> Talk {
    let config = unlimited().half_close_timeout(seconds(10));
    // Nothing holds for the other side.
    let websocket = bare().limits_from(near, limits);
    talk(near, Table::new(1024), config, websocket)
}

mirrored! {
    virtual_time async fn what_is_beyond_a_limit_goes_nowhere(near: Side) {
        for case in cases() {
            let mut talk = limited(near, case.limits);
            let mut bytes: Vec<u8> = case.within.iter().flat_map(|frame| frame.bytes(near)).collect();
            // Only its header: a data frame is decided before any payload is there.
            let beyond = case.beyond.bytes(near);
            let payload = if case.beyond.opcode.is_control() { 0 } else { case.beyond.payload.len() };
            bytes.extend_from_slice(&beyond[..beyond.len() - payload]);
            talk.near.stream.write_all(&bytes).await.unwrap();
            case.is_over(talk).await;
        }
    }

    virtual_time async fn also_byte_by_byte(near: Side) {
        for case in cases() {
            let mut talk = limited(near, case.limits);
            let frames = case.within.iter().chain([&case.beyond]);
            let bytes: Vec<u8> = frames.flat_map(|frame| frame.bytes(near)).collect();
            for byte in bytes {
                talk.near.stream.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            case.is_over(talk).await;
        }
    }

    virtual_time async fn also_with_more_behind_it(near: Side) {
        for case in cases() {
            let mut talk = limited(near, case.limits);
            let frames = case.within.iter().chain([&case.beyond]);
            let bytes: Vec<u8> = frames.flat_map(|frame| frame.bytes(near)).collect();
            talk.near.stream.write_all(&[&bytes[..], &[0xff; 50]].concat()).await.unwrap();
            case.is_over(talk).await;
        }
    }

    virtual_time async fn what_came_early_is_limited_too(near: Side) {
        for case in cases() {
            let frames = case.within.iter().chain([&case.beyond]);
            let bytes: Vec<u8> = frames.flat_map(|frame| frame.bytes(near)).collect();
            for cut in (0..=bytes.len()).step_by(7) {
                let table = Table::new(1024);
                let (mut near_peer, mut far) = (table.near_peer, Peer::new(table.far_peer, !near));
                let early = Bytes::copy_from_slice(&bytes[..cut]);
                let (down, up) = match near {
                    Side::Downstream => (early, Bytes::new()),
                    Side::Upstream => (Bytes::new(), early),
                };
                let tunnel = seat(near, table.near, table.far)
                    .websocket(bare().limits_from(near, case.limits))
                    .leftovers(down, up);
                let tunnel = tokio::spawn(tunnel.run());
                near_peer.write_all(&bytes[cut..]).await.unwrap();
                for frame in &case.within {
                    assert_eq!(far.next().await.as_ref(), Some(frame), "{}, cut at {cut}", case.reason);
                }
                assert_eq!(far.next().await, Some(close_for(near)));
                drop((near_peer, far));
                assert_eq!(tunnel.await.unwrap().unwrap().end().name(), "limit-exceeded");
            }
        }
    }

    virtual_time async fn the_other_side_is_not_limited(near: Side) {
        for case in cases() {
            let mut talk = limited(near, case.limits);
            for frame in case.within.iter().chain([&case.beyond]) {
                talk.far.send(frame).await;
                assert_eq!(talk.near.next().await.as_ref(), Some(frame));
            }
        }
    }

    virtual_time async fn the_other_side_receives_what_the_operator_wants(near: Side) {
        let close = EndRequest::close(CloseCode(4008), "budget").unwrap();
        let websocket = bare().limits(limits().max_frame_bytes(1)).limit_close(close);
        let mut talk = talk(near, Table::new(1024), unlimited().half_close_timeout(seconds(10)), websocket);
        talk.near.send(&Frame::text("ab")).await;
        talk.far.receives_close(CloseCode(4008), "budget").await;
        let reported = Frame::close(CloseCode::MESSAGE_TOO_BIG, "more than 1 bytes in a frame");
        assert_eq!(talk.near.next().await, Some(reported));
    }

    virtual_time async fn its_sender_receives_a_close_at_the_close_timeout_if_the_other_side_does_not_close(near: Side) {
        let websocket = bare().limits(limits().max_frame_bytes(1)).close_timeout(milliseconds(250));
        let mut talk = talk(near, Table::new(1024), unlimited().half_close_timeout(seconds(10)), websocket);
        talk.near.send(&Frame::text("ab")).await;
        let reported = Frame::close(CloseCode::MESSAGE_TOO_BIG, "more than 1 bytes in a frame");
        assert_eq!(talk.near.next().await, Some(reported));
        assert_eq!(talk.near.next().await, None);
        drop((talk.near.stream, talk.far.stream));
        assert_eq!(talk.tunnel.await.unwrap().unwrap().duration().as_millis() / 100, 2);
    }

    virtual_time async fn its_sender_does_not_wait_longer_than_a_second_for_the_other_side(near: Side) {
        let started = Instant::now();
        let mut talk = limited(near, limits().max_frame_bytes(1));
        talk.near.send(&Frame::text("ab")).await;
        assert_eq!(talk.far.next().await, Some(close_for(near)));
        // It goes on, and what it says arrives until then.
        talk.far.send(&Frame::text("and")).await;
        assert_eq!(talk.near.next().await, Some(Frame::text("and")));
        let reported = Frame::close(CloseCode::MESSAGE_TOO_BIG, "more than 1 bytes in a frame");
        assert_eq!(talk.near.next().await, Some(reported));
        assert_eq!(started.elapsed().as_secs(), 1);
        talk.far.send(&Frame::text("on")).await;
        talk.near.send(&Frame::close(GONE, "")).await;
        assert_eq!(talk.near.next().await, None);
    }

    virtual_time async fn a_frame_longer_than_the_burst_is_beyond_a_rate_of_bytes(near: Side) {
        let mut talk = limited(near, limits().byte_rate(Rate::per_second(1000)));
        let within = Frame::new(OpCode::Binary, &pattern(900));
        talk.near.send(&within).await;
        assert_eq!(talk.far.next().await, Some(within));
        sleep(seconds(10)).await;
        // Its header alone.
        let large = Frame::new(OpCode::Binary, &pattern(1000)).bytes(near);
        talk.near.stream.write_all(&large[..large.len() - 1000]).await.unwrap();
        assert_eq!(talk.far.next().await, Some(close_for(near)));
        drop((talk.near.stream, talk.far.stream));
        let end = talk.tunnel.await.unwrap().unwrap().end();
        assert_eq!(end, End::LimitExceeded { side: near, limit: MessageLimit::ByteRate, allowed: 1000 });
    }

    virtual_time async fn a_frame_of_any_length_is_no_faster_than_a_rate_that_delays(near: Side) {
        let started = Instant::now();
        let mut talk = limited(near, limits().byte_rate(Rate::per_second(1000)).throttle(true));
        let bytes = Frame::new(OpCode::Binary, &pattern(10_000)).bytes(near);
        let (mut far, mut received) = (talk.far.stream, Vec::new());
        let receiving = async {
            while received.len() < bytes.len() {
                assert!(far.read_buf(&mut received).await.unwrap() > 0);
                let most = started.elapsed().as_millis() as usize + 1000;
                assert!(received.len() <= most + 1, "{} bytes instead of {most}", received.len());
            }
        };
        let (sent, ()) = tokio::join!(talk.near.stream.write_all(&bytes), receiving);
        sent.unwrap();
        assert!(received == bytes);
        let took = started.elapsed().as_millis();
        assert!((9000..9200).contains(&took), "{took} ms");
    }

    virtual_time async fn a_rate_has_room_again_after_a_while(near: Side) {
        let mut talk = limited(near, limits().message_rate(Rate::per_second(1)).control_frame_rate(Rate::per_second(1)));
        for _ in 0..5 {
            for frame in [Frame::text("tick"), ping()] {
                talk.near.send(&frame).await;
                assert_eq!(talk.far.next().await, Some(frame));
            }
            sleep(seconds(1)).await;
        }
        talk.near.send(&Frame::text("tick")).await;
        talk.near.send(&Frame::text("too soon")).await;
        assert_eq!(talk.far.next().await, Some(Frame::text("tick")));
        assert_eq!(talk.far.next().await, Some(close_for(near)));
    }

    virtual_time async fn answers_to_the_tunnels_pings_and_a_close_are_not_counted(near: Side) {
        let websocket = pinging(1).limits(limits().control_frame_rate(Rate::per_second(1)));
        let mut talk = talk(near, Table::new(1024), unlimited().half_close_timeout(seconds(10)), websocket);
        for _ in 0..3 {
            tokio::join!(talk.near.pong(), talk.far.pong());
            talk.near.send(&ping()).await;
            assert_eq!(talk.far.next().await, Some(ping()));
        }
        let close = Frame::close(CloseCode::NORMAL_CLOSURE, "");
        talk.near.send(&close).await;
        assert_eq!(talk.far.next().await, Some(close));
    }

    virtual_time async fn an_answer_that_is_sent_again_is_counted(near: Side) {
        let websocket = pinging(1).limits_from(near, limits().control_frame_rate(Rate::per_second(2)));
        let mut talk = talk(near, Table::new(1024), unlimited().half_close_timeout(seconds(10)), websocket);
        let ping = talk.near.next().await.unwrap();
        let pong = Frame::new(OpCode::Pong, &ping.payload);
        // The first answers, two are within the limit.
        for _ in 0..3 {
            talk.near.send(&pong).await;
        }
        let hello = Frame::text("hello");
        talk.near.send(&hello).await;
        assert_eq!(talk.far.answering().await, Some(hello));
        talk.near.send(&pong).await;
        assert_eq!(talk.far.answering().await, Some(close_for(near)));
        drop((talk.near.stream, talk.far.stream));
        let end = talk.tunnel.await.unwrap().unwrap().end();
        assert_eq!(end, End::LimitExceeded { side: near, limit: MessageLimit::ControlFrameRate, allowed: 2 });
    }

    virtual_time async fn a_throttled_side_is_delayed_and_nothing_is_lost(near: Side) {
        let started = Instant::now();
        let mut talk = limited(near, limits().message_rate(Rate::per_second(1).burst(2)).throttle(true));
        let messages: Vec<Frame> = ["a", "b", "c", "d", "e"].map(Frame::text).into();
        let close = Frame::close(CloseCode::NORMAL_CLOSURE, "");
        for frame in messages.iter().chain([&close]) {
            talk.near.send(frame).await;
        }
        talk.near.stream.shutdown().await.unwrap();
        for (message, at) in messages.iter().zip([0, 0, 1, 2, 3]) {
            // The other direction has nothing to do with it.
            talk.far.send(&Frame::text("now")).await;
            assert_eq!(talk.near.next().await, Some(Frame::text("now")));
            assert_eq!(talk.far.next().await.as_ref(), Some(message));
            assert_eq!(started.elapsed().as_secs(), at, "{message:?}");
        }
        assert_eq!(talk.far.next().await, Some(close));
        assert_eq!(talk.far.next().await, None);
        drop((talk.near.stream, talk.far.stream));
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::Closed { first: near });
    }

    virtual_time async fn a_throttled_side_is_not_read_further_than_one_buffer(near: Side) {
        let mut talk = limited(near, limits().message_rate(Rate::per_second(1)).throttle(true));
        let message = Frame::new(OpCode::Binary, &pattern(1000)).bytes(near);
        let mut taken = 0;
        // The stream takes a kilobyte, the tunnel at most a buffer and what it held before.
        while let Ok(count) = tokio::time::timeout(milliseconds(1), talk.near.stream.write(&message[taken % message.len()..])).await {
            taken += count.unwrap();
        }
        assert!(taken as u64 <= 2 * SCRATCH_SIZE + 2048, "{taken}");
    }

    virtual_time async fn a_side_that_waits_is_neither_idle_nor_silent(near: Side) {
        // The 98 bytes of one message take nine seconds.
        let rate = Rate::per_second(10);
        let websocket = pinging(1).limits_from(near, limits().byte_rate(rate).throttle(true));
        let config = unlimited().idle_timeout(seconds(3)).write_timeout(seconds(3)).half_close_timeout(seconds(3));
        let started = Instant::now();
        let mut talk = talk(near, Table::new(1024), config, websocket);
        let length = 98 - Frame::text("").bytes(near).len() + 2;
        let large = Frame::new(OpCode::Binary, &pattern(length));
        talk.near.send(&large).await;
        talk.near.send(&Frame::text("late")).await;
        assert_eq!(talk.far.next().await, Some(large));
        let mut far = talk.far;
        // The other side is asked whether it is still there meanwhile, and only that side.
        let received = far.answering().await;
        assert_eq!(received, Some(Frame::text("late")));
        assert!((9..11).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
        let asked = tokio::time::timeout(milliseconds(1), talk.near.next()).await;
        assert!(asked.is_err(), "it is not read, so it could not answer: {asked:?}");
        drop((talk.near.stream, far.stream));
        assert!(matches!(talk.tunnel.await.unwrap(), Ok(traffic) if traffic.end() != End::Idle));
    }

    virtual_time async fn a_drain_does_not_wait_for_a_rate(near: Side) {
        let started = Instant::now();
        let mut talk = limited(near, limits().message_rate(Rate::per_second(1)).throttle(true));
        for text in ["a", "b", "c"] {
            talk.near.send(&Frame::text(text)).await;
        }
        assert_eq!(talk.far.next().await, Some(Frame::text("a")));
        talk.drain.complete_now();
        talk.far.receives_close(GONE, "shutting down").await;
        talk.near.receives_close(GONE, "shutting down").await;
        drop((talk.near.stream, talk.far.stream));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), started.elapsed().as_secs()), (End::Drained, 0));
        assert_eq!(traffic.close_from(near).and_then(|close| close.code()), Some(GONE));
    }

    virtual_time async fn a_size_is_refused_also_where_rates_only_delay(near: Side) {
        let all = limits().message_rate(Rate::per_second(1)).max_message_bytes(2).throttle(true);
        let mut talk = limited(near, all);
        for text in ["ab", "cd", "efg"] {
            talk.near.send(&Frame::text(text)).await;
        }
        assert_eq!(talk.far.next().await, Some(Frame::text("ab")));
        assert_eq!(talk.far.next().await, Some(Frame::text("cd")));
        assert_eq!(talk.far.next().await, Some(close_for(near)));
    }

    virtual_time async fn a_wait_takes_no_turns(near: Side) {
        let table = Table::new(1024);
        let (mut one, mut other) = (Peer::new(table.near_peer, near), Peer::new(table.far_peer, !near));
        let websocket = bare().limits(limits().message_rate(Rate::per_second(1)).throttle(true));
        let mut tunnel = Box::pin(seat(near, table.near, table.far).websocket(websocket).run());
        let mut polls = 0;
        let counted = std::future::poll_fn(|cx| {
            polls += 1;
            tunnel.as_mut().poll(cx)
        });
        let talking = async {
            for _ in 0..10 {
                one.send(&Frame::text("tick")).await;
            }
            for _ in 0..10 {
                assert_eq!(other.next().await, Some(Frame::text("tick")));
            }
        };
        tokio::select! {
            _ = counted => panic!("it has ended"),
            () = talking => {}
        }
        assert!(polls < 60, "{polls} polls for nine waits");
    }
}

#[cfg(target_os = "linux")]
mirrored! {
    real_time async fn a_message_of_spliced_frames_is_limited(near: Side) {
        const MIB: usize = 1024 * 1024;
        let ((near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let websocket = bare()
            .limits(limits().max_message_bytes(8 * MIB as u64))
            .close_timeout(milliseconds(100));
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).websocket(websocket).run());
        let (mut one, mut other) = (Peer::new(near_peer, near), Peer::new(far_peer, !near));
        let payload = pattern(2 * MIB);
        let sent = payload.clone();
        let sender = tokio::spawn(async move {
            one.send(&Frame::new(OpCode::Binary, &sent).not_last()).await;
            for _ in 0..3 {
                one.send(&Frame::new(OpCode::Continuation, &sent).not_last()).await;
            }
            one.send(&Frame::new(OpCode::Continuation, b"!")).await;
            one
        });
        for index in 0..4 {
            let frame = other.next().await.unwrap();
            assert!(frame.payload == payload && !frame.fin, "frame {index} has changed");
        }
        assert_eq!(other.next().await, Some(close_for(near)));
        let mut one = sender.await.unwrap();
        let reported = Frame::close(CloseCode::MESSAGE_TOO_BIG, "more than 8388608 bytes in a message");
        assert_eq!(one.next().await, Some(reported));
        assert_eq!(tunnel.await.unwrap().unwrap().end().name(), "limit-exceeded");
    }
}

/// The frames that may pass, by nothing but the text of the limits; and which limit the next one exceeds.
fn allowed(said: &[Frame], frame: u64, message: u64, fragments: u64) -> (usize, Option<MessageLimit>) {
    let (mut bytes, mut count) = (0, 0);
    for (index, next) in said.iter().enumerate() {
        if next.opcode.is_control() {
            continue;
        }
        let length = next.payload.len() as u64;
        (bytes, count) = (bytes + length, count + 1);
        let exceeded = [
            (length > frame, MessageLimit::FrameBytes),
            (bytes > message, MessageLimit::MessageBytes),
            (count > fragments, MessageLimit::Fragments),
        ];
        if let Some((_, limit)) = exceeded.into_iter().find(|(is_exceeded, _)| *is_exceeded) {
            return (index, Some(limit));
        }
        if next.fin {
            (bytes, count) = (0, 0);
        }
    }
    (said.len(), None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the frames, the cuts and the limits: what is within them arrives as it was sent, then a Close.
    #[test]
    fn exactly_what_is_within_the_limits_arrives(
        said in super::schedules::frames(),
        sizes in (0..3000u64, 0..6000u64, 1..4u64),
        seeds: [u64; 2],
        capacity in 1..2000usize,
        sender in prop_oneof![Just(Side::Downstream), Just(Side::Upstream)],
    ) {
        let (frame, message, fragments) = sizes;
        let (passes, exceeded) = allowed(&said, frame, message, fragments);
        let bytes: Vec<u8> = said.iter().flat_map(|frame| frame.bytes(sender)).collect();
        let within: Vec<u8> = said[..passes].iter().flat_map(|frame| frame.bytes(sender)).collect();
        let (received, traffic) = in_virtual_time(async {
            let table = Table::with_faults(capacity, Faults::seeded(seeds[0]), Faults::seeded(seeds[1]));
            let limits = limits().max_frame_bytes(frame).max_message_bytes(message).max_fragments(fragments);
            let tunnel = seat(sender, table.near, table.far)
                .config(unlimited().half_close_timeout(seconds(1000)))
                .websocket(bare().limits_from(sender, limits));
            let close = [Frame::close(CloseCode::NORMAL_CLOSURE, "")];
            let (_, received, traffic) = tokio::join!(
                super::schedules::blurt(table.near_peer, &bytes),
                super::schedules::whole(table.far_peer, !sender, &close),
                tunnel.run(),
            );
            (received, traffic.unwrap())
        });
        prop_assert!(received.starts_with(&within), "{} of {} bytes", received.len(), within.len());
        prop_assert_eq!(delivered_from(sender, &traffic), within.len() as u64);
        match exceeded {
            None => prop_assert_eq!(received.len(), within.len()),
            Some(expected) => {
                prop_assert!(matches!(
                    traffic.end(),
                    End::LimitExceeded { side, limit, .. } if side == sender && limit == expected
                ), "{}", traffic);
                let close = first_frame(&received[within.len()..], sender);
                prop_assert_eq!(close.map(|(frame, _)| frame), Some(close_for(sender)));
            }
        }
    }

    /// A throttled tunnel is a tunnel of bytes, only slower.
    #[test]
    fn throttled_frames_arrive_as_they_were_sent(
        said in super::schedules::frames(),
        rates in (1..50u64, 1..20u64, 1..50u64, 1..20_000u64),
        seeds: [u64; 2],
        capacity in 1..10_000usize,
        sender in prop_oneof![Just(Side::Downstream), Just(Side::Upstream)],
    ) {
        let (messages, burst, control, bytes) = rates;
        let (received, traffic) = in_virtual_time(async {
            let table = Table::with_faults(capacity, Faults::seeded(seeds[0]), Faults::seeded(seeds[1]));
            let limits = limits()
                .message_rate(Rate::per_second(messages).burst(burst))
                .control_frame_rate(Rate::per_second(control))
                .byte_rate(Rate::per_second(bytes))
                .throttle(true);
            let tunnel = seat(sender, table.near, table.far)
                .config(unlimited().idle_timeout(seconds(1)))
                .websocket(bare().limits_from(sender, limits));
            let (_, received, traffic) = tokio::join!(
                super::schedules::whole(table.near_peer, sender, &said),
                super::schedules::whole(table.far_peer, !sender, &[]),
                tunnel.run(),
            );
            (received, traffic.unwrap())
        });
        let all: Vec<u8> = said.iter().flat_map(|frame| frame.bytes(sender)).collect();
        prop_assert!(received == all, "{} of {} bytes: {}", received.len(), all.len(), traffic);
        prop_assert_eq!(traffic.end().name(), "closed");
    }
}
