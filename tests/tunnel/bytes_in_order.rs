//! Every byte arrives, once, in order, and is counted; and no more of them are held than promised.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use switchover::tunnel::{End, Operation, Rewind, Traffic, TunnelError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::*;

mirrored! {
    virtual_time async fn leftovers_go_first(near: Side) {
        let mut table = Table::new(1024);
        table.near_peer.write_all(b"later").await.unwrap();
        let (from_near, from_far) = (Bytes::from_static(b"sooner "), Bytes::from_static(b"hello"));
        let tunnel = match near {
            Side::Downstream => seat(near, table.near, table.far).leftovers(from_near, from_far),
            Side::Upstream => seat(near, table.near, table.far).leftovers(from_far, from_near),
        };
        let tunnel = tokio::spawn(tunnel.run());
        table.near_peer.shutdown().await.unwrap();
        let mut at_far = String::new();
        table.far_peer.read_to_string(&mut at_far).await.unwrap();
        drop(table.far_peer);
        let mut at_near = String::new();
        table.near_peer.read_to_string(&mut at_near).await.unwrap();
        assert_eq!((at_far.as_str(), at_near.as_str()), ("sooner later", "hello"));
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!((delivered_from(near, &traffic), delivered_from(!near, &traffic)), (12, 5));
    }

    virtual_time async fn a_rewind_is_delivered_first(near: Side) {
        let mut table = Table::new(1024);
        table.near_peer.write_all(b"later").await.unwrap();
        table.near_peer.shutdown().await.unwrap();
        let rewind = Rewind::new(table.near, Bytes::from_static(b"sooner "));
        let tunnel = tokio::spawn(seat(near, rewind, Rewind::new(table.far, Bytes::new())).run());
        let mut at_far = String::new();
        table.far_peer.read_to_string(&mut at_far).await.unwrap();
        assert_eq!(at_far, "sooner later");
        drop(table.far_peer);
        assert_eq!(delivered_from(near, &tunnel.await.unwrap().unwrap()), 12);
    }

    virtual_time async fn what_waits_is_freed_when_delivered(near: Side) {
        let (tracked, leftovers) = tracked_bytes(100);
        let mut table = Table::new(10);
        let none = Bytes::new();
        let tunnel = match near {
            Side::Downstream => seat(near, table.near, table.far).leftovers(leftovers, none),
            Side::Upstream => seat(near, table.near, table.far).leftovers(none, leftovers),
        };
        let tunnel = tokio::spawn(tunnel.run());
        let mut received = [0; 100];
        table.far_peer.read_exact(&mut received[..90]).await.unwrap();
        assert_eq!(Arc::strong_count(&tracked), 2, "ten bytes may still be waiting");
        table.far_peer.read_exact(&mut received[90..]).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&tracked), 1, "an idle tunnel holds on to a buffer");
        assert!(!tunnel.is_finished());
    }

    virtual_time async fn a_reader_that_does_not_read_costs_one_scratch_buffer(near: Side) {
        let table = Table::with_faults(1_000_000, Faults::none(), Faults::none().stall_after_writing(1));
        let config = unlimited().write_timeout(seconds(10));
        let tunnel = tokio::spawn(seat(near, table.near, table.far).config(config).run());
        let mut near_peer = table.near_peer;
        let sender = tokio::spawn(async move { near_peer.write_all(&pattern(10_000_000)).await });
        tokio::time::sleep(seconds(1)).await;
        let held = table.near_watch.read() - table.far_watch.written();
        assert_eq!(held, SCRATCH_SIZE - 1);
        assert!(!sender.is_finished(), "the sender feels no back-pressure");
        assert_eq!(tunnel.await.unwrap().unwrap().end(), End::WriteTimeout { side: !near });
    }

    virtual_time async fn a_writer_that_buffers_is_flushed_when_the_reader_pauses(near: Side) {
        let mut table = Table::with_faults(1024, Faults::none(), Faults::none().hold_until_flush());
        let _tunnel = tokio::spawn(seat(near, table.near, table.far).run());
        for _ in 0..3 {
            table.near_peer.write_all(b"request").await.unwrap();
            let mut received = [0; 7];
            table.far_peer.read_exact(&mut received).await.unwrap();
            assert_eq!(&received, b"request");
        }
        assert!(table.far_watch.flushes() <= 3, "flushed without need");
        assert_eq!(table.near_watch.flushes(), 0, "flushed without anything written");
    }

    virtual_time async fn a_writer_that_buffers_is_flushed_before_the_end(near: Side) {
        let mut table = Table::with_faults(1024, Faults::none(), Faults::none().hold_until_flush().hesitate());
        table.near_peer.write_all(b"request").await.unwrap();
        table.near_peer.shutdown().await.unwrap();
        let tunnel = tokio::spawn(seat(near, table.near, table.far).run());
        let mut received = String::new();
        table.far_peer.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "request");
        drop(table.far_peer);
        tunnel.await.unwrap().unwrap();
    }

    virtual_time async fn counts_are_right_when_a_writer_accepts_nothing(near: Side) {
        let mut table = Table::with_faults(1024, Faults::none(), Faults::none().zero_after_writing(5));
        table.near_peer.write_all(b"hello, world").await.unwrap();
        table.far_peer.write_all(b"hi").await.unwrap();
        let error = seat(near, table.near, table.far).run().await.unwrap_err();
        assert_eq!((error.side(), error.operation()), (!near, Operation::Write));
        assert_eq!(error.io_error().kind(), std::io::ErrorKind::WriteZero);
        assert_eq!(delivered_from(near, error.traffic()), 5);
        assert_eq!(delivered_from(!near, error.traffic()), 2, "what far had sent could still be read");
        assert_eq!(error.traffic().end(), End::Failed { side: !near });
    }
}

/// Bytes whose buffer is gone when the count of the first value is back to 1.
fn tracked_bytes(length: usize) -> (Arc<Vec<u8>>, Bytes) {
    #[derive(Clone)]
    struct Tracked(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Tracked {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let tracked = Arc::new(pattern(length));
    let bytes = Bytes::from_owner(Tracked(tracked.clone()));
    (tracked, bytes)
}

#[tokio::test]
async fn a_rewind_frees_its_bytes_when_they_are_drained() {
    let (tracked, front) = tracked_bytes(100);
    let mut rewind = Rewind::new(tokio::io::empty(), front);
    let mut received = vec![0; 100];
    rewind.read_exact(&mut received[..99]).await.unwrap();
    assert_eq!(Arc::strong_count(&tracked), 2);
    rewind.read_exact(&mut received[99..]).await.unwrap();
    assert_eq!((Arc::strong_count(&tracked), received), (1, pattern(100)));
}

#[tokio::test]
async fn a_rewind_gives_back_what_was_not_read() {
    let mut rewind = Rewind::new(tokio::io::empty(), Bytes::from_static(b"hello, world"));
    rewind.read_exact(&mut [0; 7]).await.unwrap();
    assert_eq!(rewind.into_parts().1, "world");
}

/// One conversation under a schedule: both peers send everything and then end, at the same time.
#[derive(Clone, Debug)]
struct Conversation {
    lengths: [usize; 2],
    leftovers: [usize; 2],
    capacity: usize,
    seeds: [u64; 4],
    held: bool,
}

fn conversations() -> impl Strategy<Value = Conversation> {
    let lengths = prop::array::uniform2(prop_oneof![0..300usize, 0..200_000usize]);
    let leftovers = prop::array::uniform2(0..100usize);
    let capacity = prop_oneof![1..16usize, 1000..100_000usize];
    (lengths, leftovers, capacity, any::<[u64; 4]>(), any::<bool>()).prop_map(
        |(lengths, leftovers, capacity, seeds, held)| {
            // Byte-sized capacities with long streams only take time.
            let lengths = if capacity < 16 {
                lengths.map(|length| length % 2000)
            } else {
                lengths
            };
            Conversation {
                lengths,
                leftovers,
                capacity,
                seeds,
                held,
            }
        },
    )
}

async fn hold(conversation: &Conversation) -> (Vec<u8>, Vec<u8>, Result<Traffic, TunnelError>) {
    let Conversation {
        lengths,
        leftovers,
        capacity,
        seeds,
        held,
    } = conversation.clone();
    let faults = |seed| match held {
        true => Faults::seeded(seed).hold_until_flush(),
        false => Faults::seeded(seed),
    };
    let table = Table::with_faults(capacity, faults(seeds[0]), faults(seeds[1]));
    let near_peer = table.near_peer.faults(Faults::seeded(seeds[2]));
    let far_peer = table.far_peer.faults(Faults::seeded(seeds[3]));
    let (from_near, from_far) = (
        pattern(leftovers[0] + lengths[0]),
        pattern(leftovers[1] + lengths[1]),
    );
    let tunnel = seat(Side::Downstream, table.near, table.far).leftovers(
        Bytes::copy_from_slice(&from_near[..leftovers[0]]),
        Bytes::copy_from_slice(&from_far[..leftovers[1]]),
    );
    let (at_near, at_far, outcome) = tokio::join!(
        talk(near_peer, &from_near[leftovers[0]..]),
        talk(far_peer, &from_far[leftovers[1]..]),
        tunnel.run(),
    );
    (at_near, at_far, outcome)
}

async fn talk(peer: Memory, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(peer);
    let mut received = Vec::new();
    let send = async {
        writer.write_all(bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let (_, outcome) = tokio::join!(send, reader.read_to_end(&mut received));
    outcome.unwrap();
    received
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_arrives_in_order_under_any_schedule(conversation in conversations()) {
        let (at_near, at_far, outcome) = in_virtual_time(hold(&conversation));
        let sums = [0, 1].map(|side| conversation.leftovers[side] + conversation.lengths[side]);
        prop_assert!(at_far == pattern(sums[0]), "from near: {} of {} bytes", at_far.len(), sums[0]);
        prop_assert!(at_near == pattern(sums[1]), "from far: {} of {} bytes", at_near.len(), sums[1]);
        let traffic = outcome.unwrap();
        prop_assert_eq!([traffic.from_downstream(), traffic.from_upstream()], sums.map(|sum| sum as u64));
        let closed = matches!(traffic.end(), End::Closed { .. });
        prop_assert!(closed, "{}", traffic.end());
    }
}

/// A stream that has `unread` to give, and takes writes of `room` bytes, vectored ones too.
struct Vectored {
    unread: Vec<u8>,
    room: usize,
    writes: std::sync::Arc<std::sync::Mutex<Vec<Vec<u8>>>>,
}

impl AsyncRead for Vectored {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        buffer.put_slice(&std::mem::take(&mut self.unread));
        std::task::Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Vectored {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.poll_write_vectored(cx, &[std::io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let mut bytes = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect::<Vec<u8>>();
        bytes.truncate(self.room);
        let count = bytes.len();
        self.writes.lock().unwrap().push(bytes);
        std::task::Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn leftovers_go_out_with_what_is_behind_them() {
    // Whatever the writer takes at a time: all at once, within the leftovers, at their end, within what follows.
    for room in [100, 1, 3, 5, 7, 9] {
        let writes = std::sync::Arc::<std::sync::Mutex<Vec<Vec<u8>>>>::default();
        let stream = |unread: &[u8], writes| Vectored {
            unread: unread.to_vec(),
            room,
            writes,
        };
        let (near, far) = (
            stream(b" behind", Default::default()),
            stream(b"", writes.clone()),
        );
        let tunnel = Tunnel::new(near, far).leftovers(Bytes::from_static(b"early"), Bytes::new());
        let traffic = tunnel.run().await.unwrap();
        let writes = writes.lock().unwrap();
        assert_eq!(writes.concat(), b"early behind", "{room} at a time");
        assert_eq!(traffic.from_downstream(), 12);
        if room == 100 {
            assert_eq!(writes.len(), 1);
        }
    }
}
