//! A decision that somebody else makes: the direction waits for it, and nothing else does.

use switchover::tunnel::End;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::*;

/// Waits for the word of the case about the first text of `side`.
fn asking(side: Side) -> (Closures, oneshot::Sender<Verdict>) {
    let (decide, decided) = oneshot::channel();
    let mut decided = Some(decided);
    let tap = reads_text_of(side, 100).read(move |_, _| match decided.take() {
        Some(decided) => Verdict::wait(async { decided.await.unwrap_or(Verdict::Drop) }),
        None => Verdict::Pass,
    });
    (tap, decide)
}

mirrored! {
    virtual_time async fn a_close_behind_what_waits_is_seen_when_nobody_waits_any_more(near: Side) {
        let (tap, _decide) = asking(near);
        let config = unlimited().half_close_timeout(seconds(10));
        let table = Table::with_faults(1024, Faults::none(), Faults::none().reset_after_reading(1));
        let tunnel = seat(near, table.near, table.far).config(config).websocket(WebSocketConfig::default()).tap(Tap::new(tap));
        let tunnel = tokio::spawn(tunnel.run());
        let (mut one, mut other) = (Peer::new(table.near_peer, near), table.far_peer);
        let said = [Frame::text("may I?"), Frame::close(CloseCode::NORMAL_CLOSURE, "")];
        let said: Vec<u8> = said.iter().flat_map(|frame| frame.bytes(near)).collect();
        one.stream.write_all(&said).await.unwrap();
        sleep(seconds(1)).await;
        other.write_all(&Frame::text("").bytes(!near)[..1]).await.unwrap();
        assert_eq!(one.next().await.map(|close| close.opcode), Some(OpCode::Close));
        assert_eq!(one.next().await, None);
        drop(one);
        let error = tunnel.await.unwrap().unwrap_err();
        let traffic = error.traffic();
        assert_eq!((error.side(), traffic.duration().as_secs()), (!near, 1));
        let close = traffic.close_from(near).and_then(|close| close.code());
        assert_eq!(close, Some(CloseCode::NORMAL_CLOSURE));
    }

    virtual_time async fn nobody_decides_about_what_is_only_looked_through_for_a_close(near: Side) {
        let (tap, _decide) = asking(near);
        let config = unlimited().write_timeout(seconds(5)).half_close_timeout(seconds(10));
        let table = Table::new(1024);
        let tunnel = seat(near, table.near, table.far).config(config).websocket(WebSocketConfig::default()).tap(Tap::new(tap));
        let tunnel = tokio::spawn(tunnel.run());
        let (mut one, _stuck) = (Peer::new(table.near_peer, near), table.far_peer);
        one.send(&Frame::new(OpCode::Binary, &pattern(1500))).await;
        assert_eq!(one.next().await.map(|close| close.opcode), Some(OpCode::Close));
        for frame in [Frame::text("may I?"), Frame::new(OpCode::Binary, &pattern(1 << 20)), Frame::text("and now?")] {
            one.send(&frame).await;
        }
        one.send(&Frame::close(CloseCode::NORMAL_CLOSURE, "")).await;
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), traffic.duration().as_secs()), (End::WriteTimeout { side: !near }, 5));
        assert!(traffic.close_from(near).is_some());
    }

    virtual_time async fn only_its_own_sender_waits(near: Side) {
        let (tap, decide) = asking(near);
        let mut talk = tapped(near, Table::new(1000), bare(), Tap::new(tap)).0;
        talk.near.send(&Frame::text("may I?")).await;
        // A read of the tunnel's and the room of the stream may be full; more is not taken.
        let more: Vec<u8> = (0..20_000).flat_map(|_| Frame::new(OpCode::Binary, b"more").bytes(near)).collect();
        let (mut reading, mut writing) = tokio::io::split(talk.near.stream);
        let mut written = 0;
        while let Ok(count) = timeout(seconds(1), writing.write(&more[written..])).await {
            written += count.unwrap();
        }
        assert!(written <= 66_000, "{written} bytes are taken while nothing goes on");
        // The other direction: messages, pings, and what it answers.
        let frames = [Frame::text("I can talk"), Frame::new(OpCode::Ping, b"and ask"), Frame::new(OpCode::Pong, b"")];
        for frame in &frames {
            talk.far.send(frame).await;
            let mut received = vec![0; frame.bytes(!near).len()];
            reading.read_exact(&mut received).await.unwrap();
            assert_eq!(received, frame.bytes(!near));
        }
        decide.send(Verdict::Pass).unwrap();
        let rest = more[written..].to_vec();
        tokio::spawn(async move {
            writing.write_all(&rest).await.unwrap();
            sleep(seconds(1000)).await;
        });
        assert_eq!(talk.far.next().await, Some(Frame::text("may I?")));
        for _ in 0..20_000 {
            assert_eq!(talk.far.next().await, Some(Frame::new(OpCode::Binary, b"more")));
        }
    }

    virtual_time async fn no_decision_in_time_ends_the_tunnel_with_1011(near: Side) {
        let (tap, _decide) = asking(near);
        let tap = Tap::new(tap).decision_timeout(seconds(3));
        let mut talk = tapped(near, Table::new(1000), bare(), tap).0;
        let asked = Instant::now();
        talk.near.send(&Frame::text("may I?")).await;
        talk.far.receives_close(CloseCode::INTERNAL_ERROR, "no decision in time").await;
        talk.near.receives_close(CloseCode::INTERNAL_ERROR, "no decision in time").await;
        assert_eq!(asked.elapsed().as_secs(), 3);
        drop((talk.near.stream, talk.far.stream));
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::Refused { side: near });
    }

    virtual_time async fn its_time_does_not_run_while_what_was_sent_before_is_not_taken(near: Side) {
        let tap = reads_text_of(near, 100).read(|_, _| {
            Verdict::wait(async {
                sleep(seconds(1)).await;
                Verdict::Pass
            })
        });
        // One read gives both messages, and the other side takes little at a time.
        let ((mut one, near_stream), (far_stream, other)) = (tokio::io::duplex(10_000), tokio::io::duplex(100));
        let tunnel = seat(near, near_stream, far_stream)
            .config(unlimited())
            .websocket(bare())
            .tap(Tap::new(tap).decision_timeout(seconds(3)));
        let tunnel = tokio::spawn(tunnel.run());
        let large = Frame::new(OpCode::Binary, &pattern(1500));
        one.write_all(&[large.bytes(near), Frame::text("may I?").bytes(near)].concat()).await.unwrap();
        sleep(seconds(20)).await;
        let mut other = Peer::new(other, !near);
        assert_eq!(other.next().await, Some(large));
        assert_eq!(other.next().await, Some(Frame::text("may I?")));
        drop((one, other));
        let _ = tunnel.await.unwrap();
    }

    virtual_time async fn a_side_that_is_not_read_is_not_taken_for_dead(near: Side) {
        let (tap, decide) = asking(near);
        let tap = Tap::new(tap).decision_timeout(seconds(1000));
        let mut talk = tapped(near, Table::new(1000), pinging(20), tap).0;
        talk.near.send(&Frame::text("may I?")).await;
        // It would be pinged four times, and its answers would not be read.
        let pinged = timeout(seconds(100), talk.near.next()).await;
        assert!(pinged.is_err(), "{pinged:?}");
        decide.send(Verdict::Replace("you may".into())).unwrap();
        assert_eq!(talk.far.answering().await, Some(Frame::text("you may")));
    }

    virtual_time async fn a_drain_does_not_wait_for_a_decision(near: Side) {
        let (tap, decide) = asking(near);
        let mut talk = under(near, tap);
        talk.near.send(&Frame::text("may I?")).await;
        talk.near.send(&Frame::close(CloseCode::NORMAL_CLOSURE, "")).await;
        sleep(seconds(1)).await;
        talk.drain.complete_now();
        talk.far.receives_close(CloseCode::GOING_AWAY, "shutting down").await;
        assert_eq!(talk.near.next().await, Some(Frame::close(CloseCode::GOING_AWAY, "shutting down")));
        drop((talk.near.stream, talk.far.stream));
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::Drained);
        assert!(decide.is_closed(), "nobody waits for it any more");
    }

    virtual_time async fn what_is_decided_after_the_close_of_a_drain_goes_nowhere(near: Side) {
        for verdict in [Verdict::Pass, Verdict::Replace("so there".into())] {
            let (tap, decide) = asking(near);
            let mut talk = under(near, tap);
            talk.near.send(&Frame::text("may I?")).await;
            sleep(seconds(1)).await;
            talk.drain.complete_now();
            let close = Frame::close(CloseCode::GOING_AWAY, "shutting down");
            assert_eq!(talk.far.next().await, Some(close.clone()));
            assert_eq!(talk.near.next().await, Some(close.clone()));
            let _ = decide.send(verdict);
            sleep(seconds(1)).await;
            // The answers of both, in any order.
            talk.near.send(&close).await;
            assert_eq!(timeout(seconds(1), talk.far.next()).await.ok().flatten(), None, "nothing behind the Close");
            talk.far.send(&close).await;
            assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::Drained);
        }
    }

    virtual_time async fn what_is_decided_meanwhile_comes_in_its_order(near: Side) {
        let tap = reads_text_of(near, 100).read(|_, payload| {
            let payload = payload.clone();
            Verdict::wait(async move {
                sleep(seconds(u64::from(payload[0] - b'0'))).await;
                if payload[0] == b'5' { Verdict::Drop } else { Verdict::Replace(payload) }
            })
        });
        let mut talk = under(near, tap);
        let started = Instant::now();
        for word in ["3", "1", "5", "2"] {
            talk.near.send(&Frame::text(word)).await;
        }
        for word in ["3", "1", "2"] {
            assert_eq!(talk.far.next().await, Some(Frame::text(word)));
        }
        assert_eq!(started.elapsed().as_secs(), 11, "one after the other");
    }
}
