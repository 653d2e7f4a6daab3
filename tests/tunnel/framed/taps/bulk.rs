//! Bulk over sockets under a tap: what passes is spliced, header and all, and what does not is not.

use switchover::tunnel::End;

use super::*;

/// What is decided about a message, in turn.
const PLANS: [Decision; 8] = [
    Decision::Pass,
    Decision::Drop,
    Decision::Pass,
    Decision::Pass,
    Decision::Read(2 << 20),
    Decision::Observe,
    Decision::Pass,
    Decision::Drop,
];

/// Messages in one frame or several. Most of them are large.
fn messages() -> Vec<Vec<Frame>> {
    let lengths: [&[usize]; 7] = [
        &[65_536],
        &[100_000, 65_536, 10],
        &[1 << 20],
        &[49_152],
        &[300],
        &[70_000, 0],
        &[300_000],
    ];
    let messages = lengths.iter().map(|lengths| {
        let last = lengths.len() - 1;
        let frames = lengths.iter().enumerate().map(|(index, length)| {
            let opcode = if index == 0 {
                OpCode::Binary
            } else {
                OpCode::Continuation
            };
            let frame = Frame::new(opcode, &pattern(*length));
            if index == last { frame } else { frame.not_last() }
        });
        frames.collect()
    });
    messages.collect()
}

mirrored! {
    real_time async fn nothing_goes_on_behind_a_frame_that_was_refused(near: Side) {
        const BEFORE: usize = 20;
        let ((near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let mut whole = 0;
        let tap = Closures::new(|_| Decision::Observe).observe(move |_, _, is_last| {
            let is_enough = whole == BEFORE;
            whole += usize::from(is_last);
            is_enough.then(|| close(4008, "enough"))
        });
        // The sender never answers with a Close.
        let config = unlimited().half_close_timeout(milliseconds(300));
        let tunnel = seat(near, near_stream, far_stream).config(config).websocket(bare()).tap(Tap::new(tap));
        let tunnel = tokio::spawn(tunnel.run());
        let frame = Frame::new(OpCode::Binary, &pattern(131_072));
        let bytes = frame.bytes(near);
        let (reading, mut writing) = near_peer.into_split();
        let sender = tokio::spawn(async move {
            // As many as are taken: the next frame is always there when one has been refused.
            while writing.write_all(&bytes).await.is_ok() {}
        });
        let mut far = Peer::new(far_peer, !near);
        for index in 0..=BEFORE {
            assert!(far.next().await.as_ref() == Some(&frame), "frame {index}");
        }
        let close = far.next().await;
        assert!(close == Some(Frame::close(CloseCode(4008), "enough")), "{:?}", close.map(|frame| frame.opcode));
        drop((far, reading));
        sender.await.unwrap();
        assert_eq!(tunnel.await.unwrap().unwrap().end(), End::Refused { side: near });
    }

    real_time async fn every_message_becomes_what_was_decided(near: Side) {
        let messages = messages();
        // Each message meets each plan.
        let rounds = PLANS.len();
        let all = || messages.iter().cycle().take(messages.len() * rounds);
        let said: Vec<u8> = all().flatten().flat_map(|frame| frame.bytes(near)).collect();
        let goes_on = |index: usize| PLANS[index % PLANS.len()] != Decision::Drop;
        let expected = all().enumerate().filter(|(index, _)| goes_on(*index)).flat_map(|(_, message)| message);

        let ((near_peer, near_stream), (far_stream, far_peer)) = (tcp_pair().await, tcp_pair().await);
        let mut plans = PLANS.iter().cycle();
        let tap = Closures::new(move |_| plans.next().cloned().unwrap());
        let websocket = bare().ping_interval(milliseconds(2));
        let tunnel = seat(near, near_stream, far_stream).websocket(websocket).tap(Tap::new(tap));
        let tunnel = tokio::spawn(tunnel.run());
        let (mut reading, mut writing) = near_peer.into_split();
        let sender = tokio::spawn(async move {
            for piece in said.chunks(1_000_000) {
                writing.write_all(piece).await.unwrap();
            }
            writing.shutdown().await.unwrap();
        });
        let ignored = tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
        let mut far = Peer::new(far_peer, !near);
        for (index, frame) in expected.enumerate() {
            let received = far.answering().await;
            assert!(received.as_ref() == Some(frame), "frame {index} of {} bytes has changed", frame.payload.len());
        }
        assert!(far.answering().await.is_none());
        sender.await.unwrap();
        drop(far);
        ignored.await.unwrap().unwrap();
        let traffic = tunnel.await.unwrap().unwrap();
        let counts = traffic.frame_counts(near).unwrap();
        assert_eq!(counts.messages(OpCode::Binary), all().count() as u64);
        let payload = all().flatten().map(|frame| frame.payload.len() as u64).sum::<u64>();
        assert_eq!(counts.payload_bytes(OpCode::Binary), payload);
        assert!(traffic.spliced_from_downstream() + traffic.spliced_from_upstream() > 0);
    }
}
