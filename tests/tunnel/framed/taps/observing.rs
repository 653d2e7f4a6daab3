//! What a tap sees of messages that it holds back nothing of.

use std::sync::{Arc, Mutex};

use switchover::tunnel::End;

use super::*;

mirrored! {
    virtual_time async fn it_sees_all_of_the_payload_while_it_passes(near: Side) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        let tap = Closures::new(|_| Decision::Observe).observe(move |head, piece, is_last| {
            notes.lock().unwrap().push((head.sender(), piece.to_vec(), is_last));
            None
        });
        let mut talk = under(near, tap);
        let bytes = Frame::text("hello").bytes(near);
        for byte in &bytes[..bytes.len() - 1] {
            talk.near.stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        // All but the last byte is out: nothing is held back.
        let mut received = vec![0; bytes.len() - 1];
        talk.far.stream.read_exact(&mut received).await.unwrap();
        assert_eq!(received, &bytes[..bytes.len() - 1]);
        talk.near.stream.write_all(&bytes[bytes.len() - 1..]).await.unwrap();
        talk.far.stream.read_exact(&mut received[..1]).await.unwrap();
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        let text: Vec<u8> = seen.iter().flat_map(|(_, piece, _)| piece.clone()).collect();
        assert_eq!(text, b"hello");
        let last = seen.iter().position(|(_, _, is_last)| *is_last);
        assert_eq!((last, seen.iter().all(|(side, ..)| *side == near)), (Some(seen.len() - 1), true));
    }

    virtual_time async fn an_empty_end_is_seen_too(near: Side) {
        let (lasts, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let tap = Closures::new(|_| Decision::Observe).observe(move |_, piece, is_last| {
            lasts.send((piece.len(), is_last)).unwrap();
            None
        });
        let mut talk = under(near, tap);
        for frame in [Frame::text("ab").not_last(), Frame::new(OpCode::Continuation, b""), Frame::text("")] {
            talk.near.send(&frame).await;
            assert_eq!(talk.far.next().await, Some(frame));
        }
        for expected in [(2, false), (0, true), (0, true)] {
            assert_eq!(seen.recv().await, Some(expected));
        }
    }

    virtual_time async fn it_ends_the_tunnel_at_the_end_of_the_frame(near: Side) {
        let mut budget = 100usize;
        let tap = Closures::new(|_| Decision::Observe).observe(move |_, piece, _| {
            budget = budget.saturating_sub(piece.len());
            (budget == 0).then(|| close(4008, "budget spent"))
        });
        let mut talk = under(near, tap);
        let (first, second) = (
            Frame::new(OpCode::Text, &[b'x'; 99]).not_last(),
            Frame::new(OpCode::Continuation, &[b'y'; 99]).not_last(),
        );
        let bytes = second.bytes(near);
        talk.near.send(&first).await;
        talk.near.stream.write_all(&bytes[..bytes.len() - 50]).await.unwrap();
        assert_eq!(talk.far.next().await, Some(first));
        // The sender is notified at once, the receiver when the frame is whole. What follows it does not go on.
        assert_eq!(talk.near.next().await, Some(Frame::close(CloseCode(4008), "budget spent")));
        talk.near.stream.write_all(&bytes[bytes.len() - 50..]).await.unwrap();
        talk.near.send(&Frame::new(OpCode::Continuation, b"more")).await;
        assert_eq!(talk.far.next().await, Some(second));
        talk.far.receives_close(CloseCode(4008), "budget spent").await;
        drop((talk.near.stream, talk.far.stream));
        assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::Refused { side: near });
    }
}
