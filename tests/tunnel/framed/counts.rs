//! What is counted of frames, and the times of answers to pings.

use switchover::tunnel::{MessageLimits, Rate};
use tokio::time::sleep;

use super::*;

const OPCODES: [OpCode; 6] = [
    OpCode::Text,
    OpCode::Binary,
    OpCode::Close,
    OpCode::Ping,
    OpCode::Pong,
    OpCode::Continuation,
];

mirrored! {
    virtual_time async fn frames_messages_and_payload_by_opcode_and_side(near: Side) {
        let mut talk = quiet(near);
        let frames = [
            Frame::text("hello"),
            Frame::new(OpCode::Binary, &pattern(300)).not_last(),
            Frame::new(OpCode::Ping, b"!"),
            Frame::new(OpCode::Continuation, &pattern(20)).not_last(),
            Frame::new(OpCode::Continuation, b""),
            Frame::text("").not_last(),
            Frame::new(OpCode::Continuation, b"you"),
            Frame::new(OpCode::Pong, b"12"),
            Frame::close(CloseCode::NORMAL_CLOSURE, ""),
        ];
        for frame in &frames {
            talk.near.send(frame).await;
            assert_eq!(talk.far.next().await.as_ref(), Some(frame));
        }
        let watch = talk.watch;
        drop((talk.near.stream, talk.far.stream));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        let counts = traffic.frame_counts(near).unwrap();
        let found = OPCODES.map(|opcode| (counts.frames(opcode), counts.messages(opcode), counts.payload_bytes(opcode)));
        assert_eq!(found, [(3, 2, 8), (3, 1, 320), (1, 1, 2), (1, 1, 1), (1, 1, 2), (0, 0, 0)]);
        assert_eq!((counts.all_frames(), counts.all_messages(), counts.all_payload_bytes()), (9, 3, 328));
        assert_eq!(traffic.frame_counts(!near), Some(Default::default()));
        for side in [near, !near] {
            assert_eq!(watch.frame_counts(side), traffic.frame_counts(side));
            assert_eq!(traffic.round_trips(side), Some(Default::default()));
        }
    }

    virtual_time async fn payload_that_was_announced_and_never_came_is_not_counted(near: Side) {
        let mut talk = quiet(near);
        let frame = Frame::new(OpCode::Binary, &pattern(100_000));
        let bytes = frame.bytes(near);
        let header = bytes.len() - 100_000;
        let mut received = vec![0; header + 70_000];
        let (sent, read) = tokio::join!(
            talk.near.stream.write_all(&bytes[..header + 70_000]),
            talk.far.stream.read_exact(&mut received)
        );
        sent.unwrap();
        read.unwrap();
        drop((talk.near.stream, talk.far.stream));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        let counts = traffic.frame_counts(near).unwrap();
        assert_eq!((counts.all_frames(), counts.all_payload_bytes()), (1, 70_000));
    }

    virtual_time async fn an_answer_that_comes_twice_is_one_round_trip(near: Side) {
        let mut talk = talk(near, Table::new(1024), unlimited(), pinging(10));
        let ping = talk.near.next().await.unwrap();
        for _ in 0..3 {
            talk.near.send(&Frame::new(OpCode::Pong, &ping.payload)).await;
            sleep(milliseconds(10)).await;
        }
        assert_eq!(talk.watch.round_trips(near).unwrap().count(), 1);
    }

    virtual_time async fn what_may_not_pass_is_not_counted(near: Side) {
        let limits = MessageLimits::default().message_rate(Rate::per_second(2));
        let config = unlimited().half_close_timeout(seconds(10));
        let mut talk = talk(near, Table::new(1024), config, bare().limits(limits));
        for _ in 0..3 {
            talk.near.send(&Frame::text("tick")).await;
        }
        talk.far.next().await.unwrap();
        talk.far.next().await.unwrap();
        assert_eq!(talk.far.next().await.unwrap().opcode, OpCode::Close);
        talk.far.send(&Frame::close(CloseCode::GOING_AWAY, "")).await;
        drop((talk.near.stream, talk.far.stream));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        let counts = traffic.frame_counts(near).unwrap();
        assert_eq!((counts.all_frames(), counts.all_payload_bytes()), (2, 8));
    }

    virtual_time async fn the_last_the_smallest_and_the_mean_time_of_answers(near: Side) {
        let mut talk = talk(near, Table::new(1024), unlimited(), pinging(10));
        let mut other = talk.far;
        // Answers at once, until something else comes.
        let other = tokio::spawn(async move { (other.answering().await, other) });
        for time in [300, 100, 200] {
            let ping = talk.near.next().await.unwrap();
            sleep(milliseconds(time)).await;
            talk.near.send(&Frame::new(OpCode::Pong, &ping.payload)).await;
        }
        // A pong of its own is no answer.
        talk.near.send(&Frame::new(OpCode::Pong, b"")).await;
        let (received, other) = other.await.unwrap();
        assert_eq!(received, Some(Frame::new(OpCode::Pong, b"")));
        for (side, times) in [(near, [200, 100, 200]), (!near, [0, 0, 0])] {
            let trips = talk.watch.round_trips(side).unwrap();
            let found = [trips.last(), trips.smallest(), trips.mean()].map(Option::unwrap);
            assert_eq!(found, times.map(milliseconds), "{side}");
            assert_eq!(trips.count(), 3);
        }
        let watch = talk.watch;
        drop((talk.near.stream, other));
        let traffic = talk.tunnel.await.unwrap().unwrap_or_else(|error| error.traffic().clone());
        assert_eq!(traffic.round_trips(near), watch.round_trips(near));
    }

    virtual_time async fn an_answer_that_could_not_be_read_is_not_timed(near: Side) {
        let mut talk = talk(near, Table::new(64), unlimited(), pinging(10).pong_timeout(seconds(1000)));
        let ping = talk.near.next().await.unwrap();
        // The far side takes nothing for a while, so what the near side sends does not get through.
        let mut one = talk.near;
        let pong = Frame::new(OpCode::Pong, &ping.payload);
        let sender = tokio::spawn(async move {
            one.send(&Frame::new(OpCode::Binary, &pattern(1000))).await;
            one.send(&pong).await;
            one
        });
        sleep(seconds(20)).await;
        while talk.far.next().await.unwrap().opcode != OpCode::Binary {}
        let one = sender.await.unwrap();
        sleep(milliseconds(1)).await;
        let counts = talk.watch.frame_counts(near).unwrap();
        assert_eq!((counts.frames(OpCode::Pong), talk.watch.round_trips(near).unwrap().count()), (1, 0));
        drop(one);
    }
}
