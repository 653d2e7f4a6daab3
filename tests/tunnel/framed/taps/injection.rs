//! Messages and pings of the caller's own.

use futures_util::FutureExt;
use switchover::tunnel::{End, InjectError, Tunnel};
use tokio::time::{Instant, sleep, timeout};

use super::*;

fn handled(near: Side, capacity: usize) -> (Talk, MessageInjector) {
    tapped(near, Table::new(capacity), bare(), None)
}

mirrored! {
    virtual_time async fn a_message_finds_its_place_behind_a_sender_that_does_not_pause(near: Side) {
        const ALL: usize = 200;
        for is_fragmented in [false, true] {
            let (mut talk, injector) = handled(near, 16 << 20);
            // No read of the tunnel's ends where one of them does.
            let whole = Frame::new(OpCode::Binary, &pattern(40_000));
            let message = match is_fragmented {
                false => vec![whole.clone()],
                true => vec![whole.clone().not_last(), Frame::new(OpCode::Continuation, b"!")],
            };
            let frames = message.iter().flat_map(|frame| frame.bytes(near));
            let bytes = frames.collect::<Vec<u8>>().repeat(ALL);
            talk.near.stream.write_all(&bytes).await.unwrap();
            assert!(talk.far.next().await == message.first().cloned());
            injector.send_text(!near, "mine").await.unwrap();
            injector.ping(!near).await.unwrap();
            let mut received = 0;
            while talk.far.next().await != Some(Frame::text("mine")) {
                received += 1;
            }
            // At most 16 reads go before it that were on their way.
            assert!(received < 60 * message.len(), "{received} before it, {is_fragmented}");
            assert_eq!(received % message.len(), message.len() - 1, "between two messages");
            let mut pings = 0;
            while received + 1 < ALL * message.len() {
                match talk.far.next().await.unwrap().opcode {
                    OpCode::Ping => pings += 1,
                    _ => received += 1,
                }
            }
            assert_eq!(pings, 1);
            drop((talk.near.stream, talk.far.stream));
            let traffic = talk.tunnel.await.unwrap().unwrap();
            assert_eq!(delivered_from(near, &traffic), bytes.len() as u64);
        }
    }

    virtual_time async fn a_direction_whose_writer_has_failed_refuses_messages(near: Side) {
        // What it sends can still be read, and may come.
        let failing = Faults::none().fail_after_writing(0, std::io::ErrorKind::BrokenPipe);
        let table = Table::with_faults(1024, failing, Faults::none());
        let (mut talk, injector) = tapped(near, table, bare(), None);
        talk.far.send(&Frame::text("hello")).await;
        sleep(seconds(1)).await;
        let sends = async {
            for _ in 0..3 {
                injector.send_text(near, "mine").await?;
            }
            Ok(())
        };
        assert!(matches!(timeout(seconds(1), sends).await, Ok(Err(InjectError { .. }))));
    }

    virtual_time async fn a_message_stands_between_two_messages_and_a_ping_between_two_frames(near: Side) {
        let (mut talk, injector) = handled(near, 1000);
        let (first, second) = (Frame::text("half ").not_last(), Frame::new(OpCode::Continuation, b"and half"));
        let bytes = first.bytes(near);
        talk.near.stream.write_all(&bytes[..bytes.len() - 2]).await.unwrap();
        let (sender, pinger) = (injector.clone(), injector);
        let sends = tokio::spawn(async move { sender.send_text(!near, "mine").await });
        sleep(seconds(1)).await;
        assert_eq!(timeout(seconds(1), talk.far.next()).await.ok(), None, "within a frame");
        talk.near.stream.write_all(&bytes[bytes.len() - 2..]).await.unwrap();
        assert_eq!(talk.far.next().await, Some(first));
        assert_eq!(timeout(seconds(1), talk.far.next()).await.ok(), None, "within a message");
        pinger.ping(!near).await.unwrap();
        assert_eq!(timeout(seconds(1), talk.far.next()).await.ok(), None, "the ping waits behind the message");
        talk.near.send(&second).await;
        assert_eq!(talk.far.next().await, Some(second));
        let mut frames = [talk.far.next().await.unwrap(), talk.far.next().await.unwrap()];
        frames.sort_by_key(|frame| frame.opcode.is_control());
        assert_eq!(frames[0], Frame::text("mine"));
        assert_eq!((frames[1].opcode, frames[1].payload.len()), (OpCode::Ping, 12));
        sends.await.unwrap().unwrap();
        // Its answer is not for the other side.
        talk.far.send(&Frame::new(OpCode::Pong, &frames[1].payload)).await;
        talk.far.send(&Frame::text("mine too")).await;
        assert_eq!(talk.near.next().await, Some(Frame::text("mine too")));
        pinger.send_binary(near, &b"yours"[..]).await.unwrap();
        assert_eq!(talk.near.next().await, Some(Frame::new(OpCode::Binary, b"yours")));
    }

    virtual_time async fn a_ping_does_not_take_the_place_of_a_close(near: Side) {
        let (mut talk, injector) = handled(near, 1000);
        let frame = Frame::new(OpCode::Binary, b"a frame that is under way");
        let bytes = frame.bytes(near);
        talk.near.stream.write_all(&bytes[..8]).await.unwrap();
        sleep(seconds(1)).await;
        talk.drain.complete_now();
        sleep(seconds(1)).await;
        injector.ping(!near).await.unwrap();
        sleep(seconds(1)).await;
        talk.near.stream.write_all(&bytes[8..]).await.unwrap();
        assert_eq!(talk.far.next().await, Some(frame));
        talk.far.receives_close(CloseCode::GOING_AWAY, "shutting down").await;
    }

    virtual_time async fn a_ping_goes_between_the_frames_of_a_message(near: Side) {
        let (mut talk, injector) = handled(near, 1000);
        let part = Frame::text("half ").not_last();
        talk.near.send(&part).await;
        assert_eq!(talk.far.next().await, Some(part));
        injector.ping(!near).await.unwrap();
        talk.far.pong().await;
    }

    virtual_time async fn what_a_side_says_before_a_ping_is_no_answer_to_it(near: Side) {
        let (mut talk, injector) = tapped(near, Table::new(1024), bare().pong_timeout(seconds(5)), None);
        sleep(seconds(1)).await;
        let asked_at = Instant::now();
        // The tunnel reads the message and sends the ping in one poll.
        talk.far.stream.write_all(&Frame::text("hello").bytes(!near)).now_or_never().unwrap().unwrap();
        injector.ping(!near).now_or_never().unwrap().unwrap();
        assert_eq!(talk.near.next().await, Some(Frame::text("hello")));
        assert_eq!(talk.near.next().await, Some(Frame::close(CloseCode::GOING_AWAY, "no answer to a ping")));
        assert_eq!(asked_at.elapsed(), seconds(5));
        talk.near.send(&Frame::close(CloseCode::GOING_AWAY, "")).await;
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::PingTimeout { side: !near });
    }

    virtual_time async fn an_answer_at_the_same_instant_is_one(near: Side) {
        let (mut talk, injector) = tapped(near, Table::new(1024), bare().pong_timeout(seconds(5)), None);
        for is_pong in [true, false] {
            injector.ping(!near).await.unwrap();
            let ping = talk.far.next().await.unwrap();
            match is_pong {
                true => talk.far.send(&Frame::new(OpCode::Pong, &ping.payload)).await,
                false => {
                    talk.far.send(&Frame::text("hello")).await;
                    assert_eq!(talk.near.next().await, Some(Frame::text("hello")));
                }
            }
            sleep(seconds(100)).await;
            assert!(!talk.tunnel.is_finished(), "{is_pong}");
        }
    }

    virtual_time async fn a_side_that_is_asked_again_and_again_has_no_more_time_to_answer(near: Side) {
        let (mut talk, injector) = tapped(near, Table::new(1024), bare().pong_timeout(seconds(5)), None);
        let asked_at = Instant::now();
        let asking = tokio::spawn(async move {
            for _ in 0..100 {
                if injector.ping(!near).await.is_err() {
                    break;
                }
                sleep(seconds(1)).await;
            }
        });
        assert_eq!(talk.near.next().await, Some(Frame::close(CloseCode::GOING_AWAY, "no answer to a ping")));
        assert_eq!(asked_at.elapsed(), seconds(5));
        talk.near.send(&Frame::close(CloseCode::GOING_AWAY, "")).await;
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::PingTimeout { side: !near });
        asking.await.unwrap();
    }

    virtual_time async fn a_ping_that_waits_for_its_place_gives_no_more_time_for_the_one_before(near: Side) {
        let (mut talk, injector) = tapped(near, Table::new(1024), bare().pong_timeout(seconds(5)), None);
        let asked_at = Instant::now();
        injector.ping(!near).await.unwrap();
        sleep(seconds(1)).await;
        let bytes = Frame::text("cut in two").bytes(near);
        talk.near.stream.write_all(&bytes[..8]).await.unwrap();
        injector.ping(!near).await.unwrap();
        assert_eq!(talk.near.next().await, Some(Frame::close(CloseCode::GOING_AWAY, "no answer to a ping")));
        assert_eq!(asked_at.elapsed(), seconds(5));
    }

    virtual_time async fn who_reads_slowly_slows_the_caller_down(near: Side) {
        let (mut talk, injector) = handled(near, 100);
        let message = pattern(1000);
        let mut sent = 0;
        while timeout(seconds(1), injector.send_binary(!near, message.clone())).await.is_ok() {
            sent += 1;
        }
        assert!((1..=4).contains(&sent), "{sent} messages wait");
        for _ in 0..sent {
            assert_eq!(talk.far.next().await, Some(Frame::new(OpCode::Binary, &message)));
        }
        injector.send_text(!near, "now").await.unwrap();
        assert_eq!(talk.far.next().await, Some(Frame::text("now")), "one that gave up has sent nothing");
        talk.near.stream.shutdown().await.unwrap();
        assert_eq!(talk.far.next().await, None);
        drop(talk.far.stream);
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!(delivered_from(near, &traffic), 0, "what is injected is not the sender's");
    }

    virtual_time async fn no_message_follows_a_close_or_an_end(near: Side) {
        let (mut talk, injector) = handled(near, 1000);
        let close = Frame::close(CloseCode::NORMAL_CLOSURE, "bye");
        talk.near.send(&close).await;
        assert_eq!(talk.far.next().await, Some(close));
        // The other direction has not closed yet.
        injector.send_text(near, "still open").await.unwrap();
        assert_eq!(talk.near.next().await, Some(Frame::text("still open")));
        let refused = async { while injector.send_text(!near, "late").await.is_ok() {} };
        timeout(seconds(1), refused).await.expect("it waits for ever");
        assert!(matches!(injector.ping(!near).await, Err(InjectError { .. })));
        drop((talk.near.stream, talk.far.stream));
        let _ = talk.tunnel.await.unwrap();
        assert!(matches!(injector.send_text(near, "after the end").await, Err(InjectError { .. })));
    }

    virtual_time async fn a_side_whose_other_has_half_closed_takes_no_more(near: Side) {
        let (mut talk, injector) = handled(near, 1000);
        talk.near.stream.shutdown().await.unwrap();
        assert_eq!(talk.far.next().await, None);
        let refused = async { while injector.send_text(!near, "late").await.is_ok() {} };
        timeout(seconds(1), refused).await.expect("it waits for ever");
        injector.send_text(near, "this way").await.unwrap();
        assert_eq!(talk.near.next().await, Some(Frame::text("this way")));
    }

    virtual_time async fn a_tap_greets_and_answers(near: Side) {
        struct Greeter(Side, Option<MessageInjector>);
        impl MessageTap for Greeter {
            fn start(&mut self, injector: &MessageInjector) {
                self.1 = Some(injector.clone());
                let (injector, to) = (injector.clone(), self.0);
                tokio::spawn(async move { injector.send_text(to, "welcome").await });
            }
            fn decide(&mut self, head: &MessageHead) -> Decision {
                if head.sender() == self.0 { Decision::Read(100) } else { Decision::Pass }
            }
            fn read(&mut self, head: &MessageHead, payload: &Bytes) -> Verdict {
                let (injector, to, payload) = (self.1.clone().unwrap(), head.sender(), payload.clone());
                tokio::spawn(async move { injector.send_binary(to, payload).await });
                Verdict::Drop
            }
        }
        let mut talk = tapped(near, Table::new(1000), bare(), Tap::new(Greeter(near, None))).0;
        assert_eq!(talk.near.next().await, Some(Frame::text("welcome")));
        talk.near.send(&Frame::text("echo")).await;
        assert_eq!(talk.near.next().await, Some(Frame::new(OpCode::Binary, b"echo")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_without_a_tunnel_takes_nothing() {
    let mut tunnel = Tunnel::new(tokio::io::empty(), tokio::io::empty());
    let injector = tunnel.injector();
    drop(tunnel);
    for side in [Side::Downstream, Side::Upstream] {
        assert!(matches!(
            injector.send_text(side, "").await,
            Err(InjectError { .. })
        ));
    }
}
