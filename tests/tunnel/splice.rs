//! Bulk goes through the kernel, messages do not, and nobody can tell but by the counters. Linux only.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use switchover::tunnel::{AnyStream, Cap, Counted, End, SpliceConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::*;

const MEBIBYTE: usize = 1024 * 1024;

/// The bytes of a stream that no shift, loss or repetition leaves alike: position by position, with a period that no
/// buffer size divides.
struct Positions {
    period: Vec<u8>,
}

impl Positions {
    fn new() -> Self {
        let mut state = 1u32;
        let period = (0..65_521).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        Positions {
            period: period.collect(),
        }
    }

    /// The longest run from `position` on, of at most `limit` bytes.
    fn at(&self, position: usize, limit: usize) -> &[u8] {
        let run = &self.period[position % self.period.len()..];
        &run[..run.len().min(limit)]
    }

    fn check(&self, mut position: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let expected = self.at(position, bytes.len());
            assert!(
                bytes.starts_with(expected),
                "other bytes than were sent, from {position} on"
            );
            position += expected.len();
            bytes = &bytes[expected.len()..];
        }
    }
}

/// A small generator for pauses and sizes.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Sends `total` bytes in pieces and with pauses of all sizes.
async fn send<W: AsyncWrite + Unpin>(mut peer: W, total: usize, seed: u64) -> W {
    let (positions, mut dice, mut sent) = (Positions::new(), Dice(seed), 0);
    while sent < total {
        // Bulk for a while, then a few messages, then a pause.
        let burst = if dice.roll(3) == 0 {
            1 + dice.roll(20_000) as usize
        } else {
            dice.roll(24 << 20) as usize
        };
        let end = total.min(sent + burst);
        while sent < end {
            let count = peer.write(positions.at(sent, end - sent)).await.unwrap();
            sent += count;
        }
        match dice.roll(4) {
            0 => sleep(milliseconds(dice.roll(8))).await,
            1 => tokio::task::yield_now().await,
            _ => {}
        }
    }
    peer.shutdown().await.unwrap();
    peer
}

/// Receives to the end, at times with pauses, and checks every byte.
async fn receive<R: AsyncRead + Unpin>(mut peer: R, seed: u64) -> usize {
    let (positions, mut dice, mut received) = (Positions::new(), Dice(seed), 0);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let room = 1 + dice.roll(buffer.len() as u64) as usize;
        let count = peer.read(&mut buffer[..room]).await.unwrap();
        if count == 0 {
            return received;
        }
        positions.check(received, &buffer[..count]);
        received += count;
        if dice.roll(400) == 0 {
            sleep(milliseconds(dice.roll(10))).await;
        }
    }
}

/// Both ways at once through a tunnel between two pairs of streams.
async fn both_ways<A, B>(near: (A, A), far: (B, B), config: TunnelConfig, total: usize) -> Traffic
where
    A: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ((near_peer, near), (far, far_peer)) = (near, far);
    let tunnel = tokio::spawn(Tunnel::new(near, far).config(config).run());
    let (near_reader, near_writer) = tokio::io::split(near_peer);
    let (far_reader, far_writer) = tokio::io::split(far_peer);
    let sending = tokio::spawn(send(near_writer, total, 1));
    let answering = tokio::spawn(send(far_writer, total, 2));
    let receiving = tokio::spawn(receive(far_reader, 3));
    assert_eq!(receive(near_reader, 4).await, total);
    assert_eq!(receiving.await.unwrap(), total);
    drop((sending.await.unwrap(), answering.await.unwrap()));
    let traffic = tunnel.await.unwrap().unwrap();
    assert_eq!(
        (traffic.from_downstream(), traffic.from_upstream()),
        (total as u64, total as u64)
    );
    traffic
}

fn unix_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// A stream that lends its descriptor, as TLS streams do, and is no plain socket for that.
struct Wrapped(TcpStream);

impl AsRawFd for Wrapped {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsyncRead for Wrapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A gigabyte in all, through every mix of sockets and every mode. 128 MiB each way in each of four mixes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_with_pauses_arrives_through_every_mix_of_sockets() {
    let total = 128 * MEBIBYTE;
    let tcp_tcp = both_ways(tcp_pair().await, tcp_pair().await, unlimited(), total).await;
    let tcp_unix = both_ways(tcp_pair().await, unix_pair(), unlimited(), total).await;
    let unix_tcp = both_ways(unix_pair(), tcp_pair().await, unlimited(), total).await;
    let unix_unix = both_ways(unix_pair(), unix_pair(), unlimited(), total).await;
    for traffic in [tcp_tcp, tcp_unix, unix_tcp, unix_unix] {
        let spliced = (traffic.spliced_from_downstream(), traffic.spliced_from_upstream());
        println!("{traffic}; spliced {spliced:?}");
        // Both ways of moving bytes have had their turns: bulk, then messages, then bulk again.
        for spliced in [spliced.0, spliced.1] {
            assert!(spliced > 0 && spliced < total as u64, "{spliced} of {total}");
        }
    }
}

/// On a machine with other things to do no two reads in a row may be full, and then nothing is spliced: once in a few times
/// will do.
async fn are_spliced(mut carried: impl AsyncFnMut() -> Traffic) {
    let mut last = None;
    for _ in 0..8 {
        let traffic = carried().await;
        if traffic.spliced_from_downstream() > 0 && traffic.spliced_from_upstream() > 0 {
            return;
        }
        last = Some(traffic.to_string());
    }
    panic!("bulk is never spliced both ways: {last:?}");
}

#[tokio::test]
async fn bulk_is_spliced_between_plain_sockets_only() {
    let total = 32 * MEBIBYTE;
    are_spliced(async || both_ways(tcp_pair().await, tcp_pair().await, unlimited(), total).await).await;

    let ((near_peer, near), far) = (tcp_pair().await, tcp_pair().await);
    let wrapped = both_ways((Wrapped(near_peer), Wrapped(near)), far, unlimited(), total).await;
    assert_eq!(
        (wrapped.spliced_from_downstream(), wrapped.spliced_from_upstream()),
        (0, 0)
    );

    let off = both_ways(
        tcp_pair().await,
        tcp_pair().await,
        unlimited().splice(None),
        total,
    )
    .await;
    assert_eq!(
        (off.spliced_from_downstream(), off.spliced_from_upstream()),
        (0, 0)
    );
}

#[tokio::test]
async fn a_socket_among_streams_of_any_kind_is_still_a_socket() {
    fn any<A, B>((near, far): (A, B)) -> (AnyStream, AnyStream)
    where
        A: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        B: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        (AnyStream::new(near), AnyStream::new(far))
    }
    let total = 32 * MEBIBYTE;
    for near_is_unix in [false, true] {
        are_spliced(async || {
            let (near, far) = match near_is_unix {
                false => (any(tcp_pair().await), any(unix_pair())),
                true => (any(any(unix_pair())), any(tcp_pair().await)),
            };
            assert!(near.0.is_plain() && far.1.is_plain());
            both_ways(near, far, unlimited(), total).await
        })
        .await;
    }

    let (near_peer, near) = tcp_pair().await;
    let wrapped = any((Wrapped(near_peer), Wrapped(near)));
    assert!(!wrapped.1.is_plain());
    let wrapped = both_ways(wrapped, any(tcp_pair().await), unlimited(), total).await;
    assert_eq!(
        (wrapped.spliced_from_downstream(), wrapped.spliced_from_upstream()),
        (0, 0)
    );
}

#[tokio::test]
async fn a_socket_that_is_counted_is_still_a_socket_and_counted_to_its_end() {
    fn counted<A, B>((near, far): (A, B), cap: &Cap) -> (Counted<A>, Counted<B>) {
        (
            Counted::new(near, cap.try_acquire()),
            Counted::new(far, cap.try_acquire()),
        )
    }
    let any = |(near, far)| (AnyStream::from(near), AnyStream::from(far));
    let total = 32 * MEBIBYTE;
    let cap = Cap::unlimited();
    are_spliced(async || {
        let (near, far) = (
            counted(tcp_pair().await, &cap),
            counted(any(tcp_pair().await), &cap),
        );
        assert_eq!(cap.open(), 4);
        let traffic = both_ways(near, far, unlimited(), total).await;
        assert_eq!(cap.open(), 0);
        traffic
    })
    .await;
    are_spliced(async || {
        let far = counted(tcp_pair().await, &cap);
        both_ways(counted(unix_pair(), &cap), far, unlimited(), total).await
    })
    .await;

    let (near_peer, near) = tcp_pair().await;
    let wrapped = counted((Wrapped(near_peer), Wrapped(near)), &cap);
    let wrapped = both_ways(wrapped, tcp_pair().await, unlimited(), total).await;
    assert_eq!(
        (wrapped.spliced_from_downstream(), wrapped.spliced_from_upstream()),
        (0, 0)
    );
}

#[tokio::test]
async fn without_a_pipe_to_be_had_bytes_are_copied() {
    let none = SpliceConfig::default().max_pipes(0);
    let traffic = both_ways(
        tcp_pair().await,
        tcp_pair().await,
        unlimited().splice(none),
        32 * MEBIBYTE,
    )
    .await;
    assert_eq!(
        (traffic.spliced_from_downstream(), traffic.spliced_from_upstream()),
        (0, 0)
    );
}

/// Sends bulk into a tunnel until nothing more goes in, because the far peer does not read.
async fn fill(peer: &mut TcpStream) -> usize {
    let (positions, mut sent) = (Positions::new(), 0);
    while let Ok(count) = timeout(milliseconds(200), peer.write(positions.at(sent, MEBIBYTE))).await {
        sent += count.unwrap();
    }
    sent
}

mirrored! {
    real_time async fn a_pipe_that_a_slow_receiver_fills_is_emptied(near: Side) {
        let (mut near_peer, near_stream) = tcp_pair().await;
        let (far_stream, far_peer) = tcp_pair().await;
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).config(unlimited()).run());
        let sent = fill(&mut near_peer).await;
        near_peer.shutdown().await.unwrap();
        assert_eq!(receive(far_peer, 7).await, sent);
        drop(near_peer);
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!(delivered_from(near, &traffic), sent as u64);
        assert_eq!(traffic.end(), End::Closed { first: near });
    }

    real_time async fn a_receiver_that_resets_with_bytes_in_the_pipe_ends_both(near: Side) {
        let (mut near_peer, near_stream) = tcp_pair().await;
        let (far_stream, far_peer) = tcp_pair().await;
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).config(unlimited()).run());
        fill(&mut near_peer).await;
        far_peer.set_zero_linger().unwrap();
        drop(far_peer);
        let started = Instant::now();
        let error = tunnel.await.unwrap().unwrap_err();
        assert!(started.elapsed() < seconds(5), "{:?}", started.elapsed());
        assert_eq!(error.side(), !near);
        let mut rest = Vec::new();
        assert_eq!(near_peer.read_to_end(&mut rest).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    real_time async fn a_sender_that_resets_behind_a_full_pipe_loses_what_the_kernel_drops_and_no_more(near: Side) {
        let (mut near_peer, near_stream) = tcp_pair().await;
        let (far_stream, mut far_peer) = tcp_pair().await;
        let config = unlimited().half_close_timeout(seconds(5));
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).config(config).run());
        fill(&mut near_peer).await;
        near_peer.set_zero_linger().unwrap();
        drop(near_peer);

        let (positions, mut received, mut buffer) = (Positions::new(), 0, vec![0; MEBIBYTE]);
        let kind = loop {
            match far_peer.read(&mut buffer).await {
                Ok(0) => panic!("an orderly end after {received} bytes"),
                Ok(count) => {
                    positions.check(received, &buffer[..count]);
                    received += count;
                }
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(kind, ErrorKind::ConnectionReset);
        let error = tunnel.await.unwrap().unwrap_err();
        assert_eq!((error.side(), delivered_from(near, error.traffic())), (near, received as u64));
    }

    real_time async fn a_receiver_that_never_reads_ends_at_the_write_timeout(near: Side) {
        let (mut near_peer, near_stream) = tcp_pair().await;
        let (far_stream, far_peer) = tcp_pair().await;
        let config = unlimited().write_timeout(milliseconds(500));
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).config(config).run());
        fill(&mut near_peer).await;
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.end(), End::WriteTimeout { side: !near });
        drop(far_peer);
    }

    real_time async fn late_bytes_after_a_half_close_in_bulk_arrive(near: Side) {
        let (near_peer, near_stream) = tcp_pair().await;
        let (far_stream, mut far_peer) = tcp_pair().await;
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).config(unlimited()).run());
        let sending = tokio::spawn(send(near_peer, 16 * MEBIBYTE, 5));
        let mut received = vec![0; 16 * MEBIBYTE];
        far_peer.read_exact(&mut received).await.unwrap();
        assert_eq!(far_peer.read(&mut [0; 1]).await.unwrap(), 0);
        let mut near_peer = sending.await.unwrap();
        sleep(milliseconds(300)).await;
        far_peer.write_all(b"late").await.unwrap();
        drop(far_peer);
        let mut late = Vec::new();
        near_peer.read_to_end(&mut late).await.unwrap();
        assert_eq!(late, b"late");
        assert!(tunnel.await.unwrap().is_ok());
    }

    real_time async fn urgent_data_stops_nothing_and_loses_nothing_behind_it(near: Side) {
        let (mut near_peer, near_stream) = tcp_pair().await;
        let (far_stream, mut far_peer) = tcp_pair().await;
        let tunnel = tokio::spawn(seat(near, near_stream, far_stream).config(unlimited()).run());
        let bulk = vec![7; 256 * 1024];
        let mut received = vec![0; bulk.len()];
        for _ in 0..8 {
            let (sent, read) = tokio::join!(near_peer.write_all(&bulk), far_peer.read_exact(&mut received));
            sent.unwrap();
            read.unwrap();
        }
        // The urgent byte itself is out of the stream; what stands around it is in it.
        let mark = |peer: &TcpStream| rustix::net::send(peer, b"!", rustix::net::SendFlags::OOB).unwrap();
        near_peer.write_all(b"before").await.unwrap();
        mark(&near_peer);
        near_peer.write_all(b"behind").await.unwrap();
        far_peer.read_exact(&mut received[..12]).await.unwrap();
        assert_eq!(&received[..12], b"beforebehind");
        near_peer.write_all(b"again").await.unwrap();
        mark(&near_peer);
        near_peer.write_all(b"and the end").await.unwrap();
        near_peer.shutdown().await.unwrap();
        let mut rest = String::new();
        far_peer.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "againand the end");
        drop(far_peer);
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!(traffic.end(), End::Closed { first: near });
    }

    real_time async fn a_drain_empties_the_pipe_first(near: Side) {
        let (mut near_peer, near_stream) = tcp_pair().await;
        let (far_stream, far_peer) = tcp_pair().await;
        let (drains, drained) = tokio::sync::oneshot::channel::<()>();
        let config = unlimited().half_close_timeout(seconds(5));
        let tunnel = seat(near, near_stream, far_stream).config(config);
        let tunnel = tokio::spawn(tunnel.drain(async { drained.await.unwrap_or(()) }).run());
        fill(&mut near_peer).await;
        drains.send(()).unwrap();
        let received = receive(far_peer, 9).await;
        let traffic = tunnel.await.unwrap().unwrap();
        assert_eq!((traffic.end(), delivered_from(near, &traffic)), (End::Drained, received as u64));
    }
}

/// In a process of its own this would be a count of descriptors; here the pool's cap does the counting. One pipe in all,
/// and many tunnels that have been in bulk: if an idle one held on to it, the next would copy.
/// A sender whose every write has arrived before the next: no read ever fills a buffer.
#[tokio::test]
async fn what_is_spliced_is_decided_by_the_size_of_transfers_and_not_by_full_buffers() {
    const KIB: usize = 1024;
    for (size, is_spliced) in [
        (4 * KIB, false),
        (12 * KIB, false),
        (16 * KIB, true),
        (32 * KIB, true),
        (48 * KIB, true),
    ] {
        let ((mut near_peer, near), (far, mut far_peer)) = (tcp_pair().await, tcp_pair().await);
        let tunnel = tokio::spawn(Tunnel::new(near, far).config(unlimited()).run());
        let (piece, mut received) = (vec![7; size], vec![0; size]);
        for _ in 0..200 {
            near_peer.write_all(&piece).await.unwrap();
            far_peer.read_exact(&mut received).await.unwrap();
        }
        drop((near_peer, far_peer));
        let traffic = tunnel.await.unwrap().unwrap();
        let (all, spliced) = (traffic.from_downstream(), traffic.spliced_from_downstream());
        assert_eq!(all, 200 * size as u64);
        // A write may arrive in two reads, and then these are what counts.
        match is_spliced {
            true => assert!(spliced > all / 2, "{size}: {spliced} of {all}"),
            false => assert_eq!(spliced, 0, "{size}"),
        }
    }
}

#[tokio::test]
async fn a_tunnel_that_waits_holds_no_pipe() {
    let one = unlimited().splice(SpliceConfig::default().pipe_size(64 * 1024).max_pipes(1));
    let mut open = Vec::new();
    for _ in 0..4 {
        let (mut near_peer, near) = tcp_pair().await;
        let (far, mut far_peer) = tcp_pair().await;
        let mut tunnel = Tunnel::new(near, far).config(one.clone());
        let watch = tunnel.watch();
        let tunnel = tokio::spawn(tunnel.run());
        let bulk = vec![7; 8 * MEBIBYTE];
        let mut received = vec![0; bulk.len()];
        let (sent, read) = tokio::join!(near_peer.write_all(&bulk), far_peer.read_exact(&mut received));
        sent.unwrap();
        read.unwrap();
        open.push((tunnel, watch, near_peer, far_peer));
    }
    for (tunnel, _watch, near_peer, far_peer) in open {
        drop((near_peer, far_peer));
        let traffic = tunnel.await.unwrap().unwrap();
        assert!(traffic.spliced_from_downstream() > 0, "{traffic}");
    }
}

#[tokio::test]
async fn a_cancelled_tunnel_gives_back_what_it_held() {
    let (mut near_peer, near) = tcp_pair().await;
    let (far, far_peer) = tcp_pair().await;
    let config = unlimited().splice(SpliceConfig::default().max_pipes(1));
    let tunnel = tokio::spawn(Tunnel::new(near, far).config(config.clone()).run());
    fill(&mut near_peer).await;
    tunnel.abort();
    assert!(tunnel.await.unwrap_err().is_cancelled());
    drop(far_peer);
    // The one pipe was full, and is closed: there is one for the next.
    let traffic = both_ways(tcp_pair().await, tcp_pair().await, config, 32 * MEBIBYTE).await;
    assert!(
        traffic.spliced_from_downstream() + traffic.spliced_from_upstream() > 0,
        "{traffic}"
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(12))]

    /// Bulk and messages in turn, in any order: all of it arrives, and no message is spliced. The messages are of up to
    /// 6,000 bytes: longer ones do not end a splice within twelve transfers, and from 7 KiB on they do not end it at all. How much of the
    /// bulk is spliced is not said here: how large its transfers are is the machine's business.
    #[test]
    fn the_way_of_moving_follows_what_is_moved(
        rounds in proptest::collection::vec((1usize..6, 1usize..40, 1usize..6_000), 2..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let case = async {
            let (mut near_peer, near) = tcp_pair().await;
            let (far, mut far_peer) = tcp_pair().await;
            let tunnel = tokio::spawn(Tunnel::new(near, far).config(unlimited()).run());
            let (positions, mut position) = (Positions::new(), 0);
            let mut messages_sent = 0;
            for (mebibytes, messages, size) in &rounds {
                let bulk = stretch(&positions, position, mebibytes * MEBIBYTE);
                let mut received = vec![0; bulk.len()];
                let (sent, read) = tokio::join!(near_peer.write_all(&bulk), far_peer.read_exact(&mut received));
                sent.unwrap();
                read.unwrap();
                positions.check(position, &received);
                position += bulk.len();
                // At most twelve short transfers end a bulk; the others are messages.
                for place in 0..messages + 12 {
                    let message = stretch(&positions, position, *size);
                    near_peer.write_all(&message).await.unwrap();
                    let mut received = vec![0; message.len()];
                    far_peer.read_exact(&mut received).await.unwrap();
                    positions.check(position, &received);
                    position += message.len();
                    messages_sent += if place < 12 { 0 } else { message.len() };
                }
            }
            drop((near_peer, far_peer));
            let traffic = tunnel.await.unwrap().unwrap();
            let spliced = traffic.spliced_from_downstream() as usize;
            assert_eq!(traffic.from_downstream() as usize, position);
            assert!(position - spliced >= messages_sent, "{messages_sent} bytes of messages, {spliced} of {position} spliced");
        };
        runtime.block_on(async { tokio::time::timeout(seconds(90), case).await }).expect("the case hangs");
    }
}

fn stretch(positions: &Positions, mut position: usize, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let run = positions.at(position, length - bytes.len());
        bytes.extend_from_slice(run);
        position += run.len();
    }
    bytes
}
