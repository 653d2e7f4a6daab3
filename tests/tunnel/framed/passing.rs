//! What goes on does so as it came.

use bytes::Bytes;
use switchover::tunnel::{End, Tunnel};

use super::*;

mirrored! {
    virtual_time async fn frames_pass_as_they_are(near: Side) {
        let mut talk = quiet(near);
        let frames = [
            Frame::text("hello"),
            Frame::new(OpCode::Ping, b"of my own"),
            Frame::new(OpCode::Pong, b""),
            Frame::text("in ").not_last(),
            Frame::new(OpCode::Ping, &[7; 125]),
            Frame::new(OpCode::Continuation, b"two"),
            Frame::new(OpCode::Binary, &pattern(300)),
        ];
        let mut sent = 0;
        for frame in &frames {
            talk.near.send(frame).await;
            sent += frame.bytes(near).len() as u64;
            assert_eq!(talk.far.next().await.as_ref(), Some(frame));
        }
        talk.far.send(&Frame::text("well")).await;
        assert_eq!(talk.near.next().await, Some(Frame::text("well")));
        assert_eq!(match near {
            Side::Downstream => talk.watch.from_downstream(),
            Side::Upstream => talk.watch.from_upstream(),
        }, sent);
        drop(talk.near.stream);
        assert_eq!(talk.far.next().await, None);
        drop(talk.far.stream);
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), delivered_from(near, &traffic)), (End::Closed { first: near }, sent));
        assert_eq!((traffic.close_from(near), traffic.close_sent_to(near)), (None, None));
    }

    virtual_time async fn a_header_waits_until_it_is_whole(near: Side) {
        let mut talk = quiet(near);
        let bytes = Frame::new(OpCode::Binary, &pattern(200)).bytes(near);
        let header = bytes.len() - 200;
        for byte in &bytes[..header - 1] {
            talk.near.stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(seconds(1)).await;
        assert_eq!(delivered(&talk, near), 0, "a header that may turn out to be none has gone on");
        talk.near.stream.write_all(&bytes[header - 1..=header]).await.unwrap();
        tokio::time::sleep(seconds(1)).await;
        assert_eq!(delivered(&talk, near), header as u64 + 1, "payload waits for nothing");
    }

    virtual_time async fn what_is_held_back_goes_out_at_the_end(near: Side) {
        let mut talk = quiet(near);
        let cut = &Frame::text("hello").bytes(near)[..1];
        talk.near.send(&Frame::text("before")).await;
        talk.near.stream.write_all(cut).await.unwrap();
        talk.near.stream.shutdown().await.unwrap();
        assert_eq!(talk.far.next().await, Some(Frame::text("before")));
        talk.far.stream.read_to_end(&mut talk.far.unread).await.unwrap();
        assert_eq!(talk.far.unread, cut, "bytes that a tunnel of bytes would have delivered");
        drop(talk.far.stream);
        let traffic = talk.tunnel.await.unwrap().unwrap();
        assert_eq!(delivered_from(near, &traffic), Frame::text("before").bytes(near).len() as u64 + 1);
    }

    virtual_time async fn leftovers_are_frames_too(near: Side) {
        // Cut anywhere, also within the header of the second frame.
        let bytes = [Frame::text("sooner").bytes(near), Frame::new(OpCode::Binary, &pattern(200)).bytes(near)].concat();
        for cut in 0..bytes.len() {
            let table = Table::new(1024);
            let (mut near_peer, mut far) = (table.near_peer, Peer::new(table.far_peer, !near));
            let leftovers = Bytes::copy_from_slice(&bytes[..cut]);
            let tunnel = seat(near, table.near, table.far).websocket(bare());
            let tunnel = match near {
                Side::Downstream => tunnel.leftovers(leftovers, Bytes::new()),
                Side::Upstream => tunnel.leftovers(Bytes::new(), leftovers),
            };
            let tunnel = tokio::spawn(tunnel.run());
            near_peer.write_all(&bytes[cut..]).await.unwrap();
            assert_eq!(far.next().await, Some(Frame::text("sooner")));
            assert_eq!(far.next().await, Some(Frame::new(OpCode::Binary, &pattern(200))));
            drop((near_peer, far));
            assert_eq!(delivered_from(near, &tunnel.await.unwrap().unwrap()), bytes.len() as u64);
        }
    }

    virtual_time async fn one_read_is_one_write(near: Side) {
        let talk = quiet(near);
        let before = talk.watch.last_activity();
        let (mut near_peer, mut far) = (talk.near, talk.far);
        let many: Vec<u8> = (0..20).flat_map(|_| Frame::text("tick").bytes(near)).collect();
        near_peer.stream.write_all(&many).await.unwrap();
        let mut received = vec![0; many.len()];
        // One read gives all of it: it was not cut into frames on the way.
        assert_eq!(far.stream.read(&mut received).await.unwrap(), many.len());
        assert_eq!(received, many);
        assert!(talk.watch.last_activity() >= before);
    }

    virtual_time async fn a_half_close_passes(near: Side) {
        let mut talk = quiet(near);
        talk.near.send(&Frame::text("all there is")).await;
        talk.near.stream.shutdown().await.unwrap();
        assert_eq!(talk.far.next().await, Some(Frame::text("all there is")));
        assert_eq!(talk.far.next().await, None);
        tokio::time::sleep(seconds(3)).await;
        talk.far.send(&Frame::text("still here")).await;
        assert_eq!(talk.near.next().await, Some(Frame::text("still here")));
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::HalfCloseTimeout { open: !near });
    }
}

fn delivered(talk: &Talk, side: Side) -> u64 {
    match side {
        Side::Downstream => talk.watch.from_downstream(),
        Side::Upstream => talk.watch.from_upstream(),
    }
}

#[test]
fn a_tunnel_that_knows_frames_has_a_future_of_the_same_size() {
    let (near, far) = (tokio::io::empty(), tokio::io::empty());
    let bytes = Tunnel::new(near, far).run();
    let frames = Tunnel::new(tokio::io::empty(), tokio::io::empty())
        .websocket(bare())
        .run();
    assert_eq!(size_of_val(&bytes), size_of_val(&frames));
}
