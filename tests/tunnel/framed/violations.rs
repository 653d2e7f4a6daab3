//! A frame that may not be sent goes nowhere, and both sides are told.

use switchover::tunnel::End;
use switchover::websocket::FrameError;

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

mirrored! {
    virtual_time async fn both_sides_are_told(near: Side) {
        for (bytes, error) in wrong(near) {
            // `GET` is a binary frame with a reserved bit, and one of a continuation that is not its last.
            let error = match &bytes[..] {
                [b'G', ..] => FrameError::ReservedOpCode(7),
                _ => error,
            };
            let mut talk = quiet(near);
            talk.near.stream.write_all(&[Frame::text("before").bytes(near), bytes.clone()].concat()).await.unwrap();
            talk.near.send(&Frame::text("after")).await;
            assert_eq!(talk.far.next().await, Some(Frame::text("before")));
            let mut told = talk.far.next().await;
            if told == Some(Frame::text("").not_last()) {
                told = talk.far.next().await;
            }
            let close = Frame::close(CloseCode::PROTOCOL_ERROR, &error.to_string());
            assert_eq!(told.as_ref(), Some(&close));
            talk.far.send(&Frame::close(CloseCode::PROTOCOL_ERROR, "")).await;
            assert_eq!(talk.far.next().await, None);
            assert_eq!(talk.near.next().await.as_ref(), Some(&close), "{error}");
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
        assert_eq!(talk.near.next().await, Some(Frame::text("slow")));
        assert_eq!(talk.near.next().await.unwrap().opcode, OpCode::Close);
    }

    virtual_time async fn a_bit_that_was_agreed_may_be_set(near: Side) {
        let websocket = WebSocketConfig::default().reserved_bits([true, false, false]);
        let talk = talk(near, Table::new(1024), unlimited(), websocket);
        let (mut one, mut other) = (talk.near, talk.far);
        let mut bytes = Frame::text("hello").bytes(near);
        bytes[0] |= 0x40;
        one.stream.write_all(&bytes).await.unwrap();
        let mut received = vec![0; bytes.len()];
        other.stream.read_exact(&mut received).await.unwrap();
        assert_eq!(received, bytes);
    }
}
