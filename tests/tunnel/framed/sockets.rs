//! Over sockets: bulk within a frame is spliced, and the tunnel's own frames find their places between such frames.

use bytes::Bytes;
use switchover::tunnel::{Drain, End};

use super::*;

/// A frame of four MiB, and how often.
const PAYLOAD: usize = 4 * 1024 * 1024;
const FRAMES: usize = 4;

mirrored! {
    real_time async fn bulk_is_spliced_within_frames(near: Side) {
        let ((near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let websocket = bare().ping_interval(milliseconds(5));
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).websocket(websocket).run());
        let payload = pattern(PAYLOAD);
        let bytes = Frame::new(OpCode::Binary, &payload).bytes(near);
        let length = bytes.len() as u64;
        let (mut reading, mut writing) = near_peer.into_split();
        let sender = tokio::spawn(async move {
            for _ in 0..FRAMES {
                writing.write_all(&bytes).await.unwrap();
                // A pause between two reads of the tunnel's, so that it is not all one stream of bulk.
                tokio::time::sleep(milliseconds(2)).await;
            }
            writing
        });
        let ignored = tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
        let mut far = Peer::new(far_peer, !near);
        let mut received = 0;
        while received < FRAMES {
            let frame = far.next().await.unwrap();
            if frame.opcode == OpCode::Ping {
                far.send(&Frame::new(OpCode::Pong, &frame.payload)).await;
                continue;
            }
            assert!(frame.payload == payload, "frame {received} has changed");
            received += 1;
        }
        drop(far);
        drop(sender.await.unwrap());
        ignored.abort();
        let traffic = tunnel.await.unwrap();
        let traffic = traffic.unwrap_or_else(|error| error.traffic().clone());
        assert_eq!(delivered_from(near, &traffic), FRAMES as u64 * length);
        let spliced = traffic.spliced_from_downstream() + traffic.spliced_from_upstream();
        assert!(spliced > 0, "within a frame of 4 MiB there is bulk");
    }

    real_time async fn frames_of_any_size_pass_between_each_other(near: Side) {
        let ((near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let websocket = bare().ping_interval(milliseconds(2));
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).websocket(websocket).run());
        let sizes = [65_536, 65_536, 65_536, 0, 100, 40_000, 49_152, 65_537, 126, 300_000, 1, 1 << 20, 65_536, 65_535];
        let frames: Vec<Frame> = sizes.iter().map(|size| Frame::new(OpCode::Binary, &pattern(*size))).collect();
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(near)).collect();
        let length = bytes.len() as u64;
        let (mut reading, mut writing) = near_peer.into_split();
        let sender = tokio::spawn(async move {
            for _ in 0..5 {
                writing.write_all(&bytes).await.unwrap();
            }
            writing.shutdown().await.unwrap();
        });
        let ignored = tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
        let mut far = Peer::new(far_peer, !near);
        for frame in frames.iter().cycle().take(5 * frames.len()) {
            let received = far.answering().await;
            assert!(received.as_ref() == Some(frame), "a frame of {} bytes has changed", frame.payload.len());
        }
        assert!(far.answering().await.is_none());
        sender.await.unwrap();
        drop(far);
        ignored.await.unwrap().unwrap();
        assert_eq!(delivered_from(near, &tunnel.await.unwrap().unwrap()), 5 * length);
    }

    real_time async fn a_drain_in_the_middle_of_a_spliced_frame_waits_for_its_end(near: Side) {
        let ((mut near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let drain = Drain::new();
        let mut tunnel = seat(near, near_stream, far_stream).websocket(bare());
        let watch = tunnel.watch();
        let tunnel = tokio::spawn(tunnel.drain(drain.signal()).run());
        let frame = Frame::new(OpCode::Binary, &pattern(PAYLOAD));
        // The next frame begins right behind it: it must not go out.
        let bytes = [frame.bytes(near), frame.bytes(near)[..1000].to_vec()].concat();
        let sender = tokio::spawn(async move {
            near_peer.write_all(&bytes[..PAYLOAD / 2]).await.unwrap();
            while watch.from_downstream() + watch.from_upstream() < PAYLOAD as u64 / 4 {
                tokio::time::sleep(milliseconds(1)).await;
            }
            drain.complete_now();
            tokio::time::sleep(milliseconds(50)).await;
            near_peer.write_all(&bytes[PAYLOAD / 2..]).await.unwrap();
            near_peer
        });
        let mut far = Peer::new(far_peer, !near);
        assert!(far.next().await.as_ref() == Some(&frame), "it is cut off");
        far.receives_close(CloseCode::GOING_AWAY, "shutting down").await;
        let mut one = Peer::new(sender.await.unwrap(), near);
        assert_eq!(one.next().await, Some(Frame::close(CloseCode::GOING_AWAY, "shutting down")));
        // It was in the middle of a frame, and leaves.
        drop(one);
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), delivered_from(near, &traffic)), (End::Drained, frame.bytes(near).len() as u64));
    }

    real_time async fn both_sides_receive_a_close_for_a_violation_that_came_early_also_if_its_sender_has_left(near: Side) {
        let bytes = Frame::text("early").bytes(near);
        let wrong = Bytes::from([&bytes[..], &Frame::text("").bytes(!near)].concat());
        let ((near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let (mut one, mut other) = (Peer::new(near_peer, near), Peer::new(far_peer, !near));
        one.stream.shutdown().await.unwrap();
        // Until the end is there to be read in the first turn.
        near_stream.readable().await.unwrap();
        let tunnel = seat(near, near_stream, far_stream).websocket(bare());
        let tunnel = match near {
            Side::Downstream => tunnel.leftovers(wrong, Bytes::new()),
            Side::Upstream => tunnel.leftovers(Bytes::new(), wrong),
        };
        let tunnel = tokio::spawn(tunnel.run());
        assert_eq!(other.next().await, Some(Frame::text("early")));
        assert_eq!(other.next().await.map(|frame| frame.opcode), Some(OpCode::Close));
        other.send(&Frame::close(CloseCode::NORMAL_CLOSURE, "")).await;
        assert_eq!(one.next().await.map(|frame| frame.opcode), Some(OpCode::Close));
        drop((one, other));
        assert!(matches!(tunnel.await.unwrap().unwrap().end(), End::Violation { side, .. } if side == near));
    }

    real_time async fn a_reset_is_passed_on(near: Side) {
        let ((mut near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).websocket(bare()).run());
        let mut far = Peer::new(far_peer, !near);
        near_peer.write_all(&Frame::text("hello").bytes(near)).await.unwrap();
        assert_eq!(far.next().await, Some(Frame::text("hello")));
        near_peer.set_zero_linger().unwrap();
        drop(near_peer);
        let error = far.stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(tunnel.await.unwrap().unwrap_err().side(), near);
    }

    // As servers of several libraries end: a Close, and then a reset.
    real_time async fn a_reset_behind_a_closing_handshake_ends_the_tunnel_at_once(near: Side) {
        let close = Frame::close(CloseCode::NORMAL_CLOSURE, "");
        for near_first in [true, false] {
            let ((near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
            let tunnel = seat(near, near_stream, far_stream).websocket(bare());
            let tunnel = tokio::spawn(tunnel.run());
            let (mut one, mut other) = (Peer::new(near_peer, near), Peer::new(far_peer, !near));
            if near_first {
                one.send(&close).await;
                assert_eq!(other.next().await.as_ref(), Some(&close));
                other.send(&close).await;
                assert_eq!(one.next().await.as_ref(), Some(&close));
            } else {
                other.send(&close).await;
                assert_eq!(one.next().await.as_ref(), Some(&close));
                one.send(&close).await;
                assert_eq!(other.next().await.as_ref(), Some(&close));
            }
            let started = tokio::time::Instant::now();
            one.stream.set_zero_linger().unwrap();
            drop(one);
            // The other has not ended its stream, and need not for this.
            let traffic = tunnel.await.unwrap().expect("no failure");
            assert_eq!(traffic.end(), End::Closed { first: near });
            assert!(started.elapsed() < seconds(5), "{:?}", started.elapsed());
            assert_eq!(other.next().await, None, "an end in order");
        }
    }

    real_time async fn bytes_behind_the_close_do_not_make_an_end_a_reset(near: Side) {
        let close = Frame::close(CloseCode::NORMAL_CLOSURE, "");
        let ((near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let tunnel = seat(near, near_stream, far_stream).websocket(bare());
        let (mut one, mut other) = (Peer::new(near_peer, near), Peer::new(far_peer, !near));
        one.send(&close).await;
        other.send(&close).await;
        one.stream.set_zero_linger().unwrap();
        let tunnel = tokio::spawn(tunnel.run());
        assert_eq!(one.next().await.as_ref(), Some(&close));
        other.send(&Frame::text("afterthought")).await;
        drop(one);
        assert_eq!(tunnel.await.unwrap().expect("no failure").end(), End::Closed { first: near });
        assert_eq!(other.next().await.as_ref(), Some(&close));
        assert_eq!(other.next().await, None, "an end in order");
    }
}
