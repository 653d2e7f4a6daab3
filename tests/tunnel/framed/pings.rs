//! A silent side is asked; what answers is for the tunnel alone; who does not answer is gone.

use switchover::tunnel::End;
use tokio::time::{Instant, sleep};

use super::*;

mirrored! {
    virtual_time async fn a_silent_side_is_asked_and_its_answer_goes_no_further(near: Side) {
        let mut talk = talk(near, Table::new(1024), unlimited(), pinging(10));
        let started = Instant::now();
        for _ in 0..5 {
            talk.near.pong().await;
            talk.far.pong().await;
        }
        assert_eq!(started.elapsed().as_secs(), 50);
        talk.near.send(&Frame::text("hello")).await;
        assert_eq!(talk.far.next().await, Some(Frame::text("hello")));
        assert_eq!(
            (talk.watch.from_downstream(), talk.watch.from_upstream()),
            match near {
                Side::Downstream => (11, 0),
                Side::Upstream => (0, 7),
            },
            "the tunnel's own frames are counted",
        );
    }

    virtual_time async fn a_side_that_talks_is_not_asked(near: Side) {
        let mut talk = talk(near, Table::new(1024), unlimited(), pinging(10).pong_timeout(seconds(60)));
        for _ in 0..10 {
            sleep(seconds(9)).await;
            talk.near.send(&Frame::text("tick")).await;
            assert_eq!(talk.far.answering().await, Some(Frame::text("tick")));
        }
        talk.far.send(&Frame::text("enough")).await;
        assert_eq!(talk.near.next().await, Some(Frame::text("enough")), "it was asked all the same");
    }

    virtual_time async fn a_mute_side_is_gone(near: Side) {
        let mut talk = talk(near, Table::new(1024), unlimited().half_close_timeout(seconds(10)), pinging(10));
        let started = Instant::now();
        assert_eq!(talk.far.answering().await, Some(Frame::close(CloseCode::GOING_AWAY, "no answer to a ping")));
        assert_eq!(started.elapsed().as_secs(), 15);
        talk.far.send(&Frame::close(CloseCode::GOING_AWAY, "")).await;
        assert_eq!(talk.far.next().await, None);
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.end(), End::PingTimeout { side: near });
        assert_eq!(started.elapsed().as_secs(), 15, "nobody waits for the Close of a side that is gone");
        assert_eq!(talk.near.next().await.unwrap().opcode, OpCode::Ping);
        let reported = Frame::close(CloseCode::GOING_AWAY, "no answer to a ping");
        assert_eq!(talk.near.next().await, Some(reported), "and yet it is notified, should it still be there");
    }

    virtual_time async fn an_answering_side_outlives_the_idle_limit(near: Side) {
        let config = unlimited().idle_timeout(seconds(30)).half_close_timeout(seconds(10));
        let Talk { near: mut one, far: mut other, tunnel, drain, .. } = talk(near, Table::new(1024), config, pinging(10));
        let started = Instant::now();
        let (one, other) = (
            tokio::spawn(async move { one.answering().await }),
            tokio::spawn(async move { other.answering().await }),
        );
        sleep(seconds(1000)).await;
        assert!(!tunnel.is_finished());
        drain.complete_now();
        let reported = Some(Frame::close(CloseCode::GOING_AWAY, "shutting down"));
        assert_eq!((one.await.unwrap(), other.await.unwrap()), (reported.clone(), reported));
        assert_eq!(started.elapsed().as_secs(), 1000);
        assert_eq!(tunnel.await.unwrap().unwrap().end(), End::Drained);
    }

    virtual_time async fn any_byte_is_an_answer(near: Side) {
        let Talk { mut near, mut far, tunnel, .. } = talk(near, Table::new(1024), unlimited(), pinging(10));
        let far = tokio::spawn(async move {
            let mut pieces = 0;
            while far.answering().await.is_some() {
                pieces += 1;
            }
            pieces
        });
        for _ in 0..10 {
            assert_eq!(near.next().await.unwrap().opcode, OpCode::Ping);
            sleep(seconds(4)).await;
            near.send(&Frame::text("not that I would answer")).await;
        }
        assert!(!tunnel.is_finished());
        drop(near.stream);
        assert_eq!(far.await.unwrap(), 10);
    }

    virtual_time async fn a_side_that_reads_slowly_has_time_for_what_lies_before_the_ping(near: Side) {
        // A megabyte is on its way before a writer has to wait: nobody sees how much of it has been read.
        let Talk { mut near, mut far, tunnel, .. } = talk(near, Table::new(1 << 20), unlimited(), pinging(10));
        let burst = Frame::new(OpCode::Binary, &vec![7; 100 * 1024]);
        far.send(&burst).await;
        let far = tokio::spawn(async move { while far.answering().await.is_some() {} });
        // A second for each KiB and a half.
        let mut left = burst.bytes(!near.side).len();
        while left > 0 {
            sleep(seconds(1)).await;
            let count = near.stream.read(&mut vec![0; left.min(1536)]).await.unwrap();
            assert!(count > 0, "given up with {left} bytes left to read");
            left -= count;
        }
        near.pong().await;
        assert!(!tunnel.is_finished());
        // Nothing lies before the next one.
        let asked = near.next().await.unwrap();
        assert_eq!(asked.opcode, OpCode::Ping);
        let asked_at = Instant::now();
        let reported = Frame::close(CloseCode::GOING_AWAY, "no answer to a ping");
        assert_eq!(near.next().await, Some(reported));
        assert_eq!(asked_at.elapsed().as_secs(), 5);
        drop(near);
        far.await.unwrap();
    }

    virtual_time async fn a_side_that_is_gone_is_not_waited_for_without_end(near: Side) {
        let config = unlimited().half_close_timeout(seconds(10));
        let Talk { mut far, tunnel, near, .. } = talk(near, Table::new(2 << 20), config, pinging(10));
        far.send(&Frame::new(OpCode::Binary, &vec![7; 1 << 20])).await;
        let began = Instant::now();
        let far = tokio::spawn(async move { while far.answering().await.is_some() {} });
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.end(), End::PingTimeout { side: near.side });
        assert!(began.elapsed() <= seconds(10 + 5 + 255 + 10), "{:?}", began.elapsed());
        far.await.unwrap();
    }

    virtual_time async fn a_late_answer_is_known(near: Side) {
        let Talk { mut near, mut far, .. } = talk(near, Table::new(1024), unlimited(), pinging(10));
        let first = near.next().await.unwrap();
        near.send(&Frame::text("busy")).await;
        assert_eq!(far.answering().await, Some(Frame::text("busy")));
        let far = tokio::spawn(async move { far.answering().await });
        let second = near.next().await.unwrap();
        assert_ne!(first, second);
        for ping in [first, second] {
            near.send(&Frame::new(OpCode::Pong, &ping.payload)).await;
        }
        near.send(&Frame::text("done")).await;
        assert_eq!(far.await.unwrap(), Some(Frame::text("done")));
    }

    virtual_time async fn a_pong_of_an_ends_own_passes(near: Side) {
        let mut talk = talk(near, Table::new(1024), unlimited(), pinging(10));
        let ping = talk.near.next().await.unwrap();
        talk.far.pong().await;
        let mut other = ping.payload.clone();
        other[0] ^= 1;
        let pongs = [Frame::new(OpCode::Pong, &other), Frame::new(OpCode::Pong, b""), Frame::new(OpCode::Pong, &other[..8])];
        for pong in &pongs {
            talk.near.send(pong).await;
            assert_eq!(talk.far.next().await.as_ref(), Some(pong));
        }
        // Cut into bytes, and still not passed on.
        for byte in Frame::new(OpCode::Pong, &ping.payload).bytes(near) {
            talk.near.stream.write_all(&[byte]).await.unwrap();
            sleep(milliseconds(1)).await;
        }
        talk.near.send(&Frame::text("then")).await;
        assert_eq!(talk.far.next().await, Some(Frame::text("then")));
        // Nobody else knows what the ping was: from the other side the same bytes are a pong like any other.
        talk.far.send(&Frame::new(OpCode::Pong, &ping.payload)).await;
        assert_eq!(talk.near.next().await, Some(Frame::new(OpCode::Pong, &ping.payload)));
    }

    virtual_time async fn a_ping_waits_for_its_place_between_two_frames(near: Side) {
        let Talk { near: mut one, far: mut other, .. } = talk(near, Table::new(1024), unlimited(), pinging(10));
        let bytes = Frame::new(OpCode::Binary, &pattern(100)).not_last().bytes(near);
        let (start, end) = bytes.split_at(50);
        one.stream.write_all(start).await.unwrap();
        sleep(seconds(9)).await;
        one.stream.write_all(&end[..1]).await.unwrap();
        sleep(seconds(9)).await;
        // In one piece: the end of the frame, and the beginning of the next, of the same message.
        let next = Frame::new(OpCode::Continuation, b"the rest").bytes(near);
        one.stream.write_all(&[&end[1..], &next[..4]].concat()).await.unwrap();
        sleep(milliseconds(1)).await;
        one.stream.write_all(&next[4..]).await.unwrap();
        let frames = [other.next().await, other.next().await, other.next().await];
        let kinds = frames.map(|frame| frame.map(|frame| (frame.opcode, frame.payload.len())));
        assert_eq!(kinds, [Some((OpCode::Binary, 100)), Some((OpCode::Ping, 12)), Some((OpCode::Continuation, 8))]);
    }

    virtual_time async fn a_side_that_is_not_read_is_not_asked(near: Side) {
        // What near sends does not get through, so near is not read.
        let table = Table::new(64);
        let Talk { near: one, far: mut other, tunnel, .. } = talk(near, table, unlimited(), pinging(10));
        let (mut reading, mut writing) = tokio::io::split(one.stream);
        tokio::spawn(async move {
            loop {
                if writing.write_all(&Frame::new(OpCode::Binary, &pattern(1000)).bytes(near)).await.is_err() {
                    return;
                }
            }
        });
        let asked = tokio::spawn(async move { reading.read_u8().await });
        sleep(seconds(100)).await;
        assert!(!asked.is_finished() && !tunnel.is_finished(), "it could not have answered");
        // It is read again, and it talks: still there is nothing to ask.
        for _ in 0..100 {
            assert_eq!(other.answering().await.unwrap().payload.len(), 1000);
            sleep(seconds(1)).await;
        }
        assert!(!asked.is_finished() && !tunnel.is_finished());
    }

    virtual_time async fn a_ping_that_was_answered_is_not_asked_for_again_after_a_stall(near: Side) {
        let Talk { near: mut one, far: mut other, tunnel, .. } = talk(near, Table::new(64), unlimited(), pinging(10));
        one.pong().await;
        other.pong().await;
        // More than one takes for a while; and what it says to that is nothing.
        let large = Frame::new(OpCode::Binary, &pattern(1000));
        let other = tokio::spawn(async move {
            other.send(&large).await;
            other.answering().await
        });
        sleep(seconds(4)).await;
        assert_eq!(one.next().await.unwrap().payload.len(), 1000);
        let read = Instant::now();
        one.pong().await;
        assert_eq!(read.elapsed().as_secs(), 6, "asked again when it has been silent for ten seconds");
        assert!(!other.is_finished() && !tunnel.is_finished());
    }

    virtual_time async fn who_has_closed_is_not_asked(near: Side) {
        let mut talk = talk(near, Table::new(1024), unlimited().idle_timeout(seconds(100)), pinging(10));
        talk.near.send(&Frame::close(CloseCode::NORMAL_CLOSURE, "")).await;
        assert_eq!(talk.far.next().await, Some(Frame::close(CloseCode::NORMAL_CLOSURE, "")));
        sleep(seconds(50)).await;
        talk.far.send(&Frame::close(CloseCode::NORMAL_CLOSURE, "")).await;
        assert_eq!(talk.near.next().await, Some(Frame::close(CloseCode::NORMAL_CLOSURE, "")));
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::Idle, 150));
        assert_eq!((talk.near.next().await, talk.far.next().await), (None, None));
    }
}
