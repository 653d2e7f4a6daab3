//! Streams over connections in memory: what they hold, what the connection below gets to see, and who is woken.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, Wake};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use super::*;
use crate::tls::stream::state::State;
use crate::tls::stream::{Secured, shake_hands};
use crate::tls::{TlsAcceptor, TlsServerConfig};
use crate::wire::tests::Signals;

type Near<S> = Secured<S, UnbufferedServerConnection>;
type Far = Secured<DuplexStream, UnbufferedClientConnection>;

async fn streams<S: AsyncRead + AsyncWrite + Unpin>(
    configs: &Configs,
    mut near: S,
    mut far: DuplexStream,
) -> (Near<S>, Far) {
    let (server, client) = tokio::join!(
        shake_hands(&mut near, configs.server(), BytesMut::new()),
        shake_hands(&mut far, configs.client(), BytesMut::new()),
    );
    (
        Secured::new(near, server.unwrap()),
        Secured::new(far, client.unwrap()),
    )
}

fn held<S, C: Connection>(stream: &Secured<S, C>) -> usize {
    let state = &stream.state;
    state.received.capacity() + state.opened.capacity() + state.outgoing.capacity()
}

/// Whatever has moved, and however it came.
#[tokio::test]
async fn an_idle_stream_holds_no_buffer() {
    for version in VERSIONS {
        for provider in providers() {
            let (near, far) = tokio::io::duplex(10_000);
            let (mut near, mut far) = streams(&Configs::new(version, provider), near, far).await;
            for length in [1, 100, 16_384, 100_000] {
                let sent = vec![7; length];
                for size in [1, 4096, 65_536] {
                    let (mut read, mut piece) = (0, vec![0; size]);
                    let reading = async {
                        while read < length {
                            read += near.read(&mut piece).await.unwrap();
                        }
                        near.write_all(&sent).await.unwrap();
                        near.flush().await.unwrap();
                    };
                    let mut answer = vec![0; length];
                    let writing = async {
                        far.write_all(&sent).await.unwrap();
                        far.flush().await.unwrap();
                        far.read_exact(&mut answer).await.unwrap();
                    };
                    tokio::join!(reading, writing);
                    assert_eq!((held(&near), held(&far)), (0, 0), "{length} {size}");
                }
            }
        }
    }
}

/// Looks at all memory that it is lent.
struct Curious {
    stream: DuplexStream,
    seen: Arc<AtomicUsize>,
}

impl AsyncRead for Curious {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let held = into.filled().len();
        // What is not initialised is zero after this.
        let lent = into.initialize_unfilled();
        let found = lent.iter().filter(|byte| **byte != 0).count();
        self.seen.fetch_add(found, Ordering::Relaxed);
        assert!(held <= 100_000);
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Curious {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_connection_below_is_not_shown_the_payload_of_another() {
    let configs = Configs::new(&TLS13, ring::default_provider());
    let (near, far) = tokio::io::duplex(100_000);
    let (mut near, mut far) = streams(&configs, near, far).await;
    far.write_all(&[b's'; 50_000]).await.unwrap();
    near.read_exact(&mut [0; 50_000]).await.unwrap();

    let seen = Arc::new(AtomicUsize::new(0));
    let (stream, far) = tokio::io::duplex(100_000);
    let curious = Curious {
        stream,
        seen: seen.clone(),
    };
    let (mut near, mut far) = streams(&configs, curious, far).await;
    seen.store(0, Ordering::Relaxed);
    far.write_all(b"x").await.unwrap();
    assert_eq!(near.read_u8().await.unwrap(), b'x');
    assert_eq!(seen.load(Ordering::Relaxed), 0);
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The alert takes the place of the writer among those that the connection below would wake.
#[tokio::test]
async fn a_writer_that_waits_learns_that_reading_has_failed() {
    for version in VERSIONS {
        let (near, far) = tokio::io::duplex(10_000);
        let (mut near, far) = streams(&Configs::new(version, ring::default_provider()), near, far).await;
        let (writer, reader) = (Arc::new(Woken(AtomicBool::new(false))), Waker::noop());
        let waker = Waker::from(writer.clone());
        let mut writing = Context::from_waker(&waker);
        let mut reading = Context::from_waker(reader);
        while let Poll::Ready(written) = Pin::new(&mut near).poll_write(&mut writing, &[7; 5000]) {
            assert_eq!(written.unwrap(), 5000);
        }
        let mut socket = far.stream;
        socket.write_all(b"\x17\x03\x03\0\x20").await.unwrap();
        socket.write_all(&[7; 32]).await.unwrap();
        let (mut space, mut failed) = ([0; 10], false);
        while !failed {
            match Pin::new(&mut near).poll_read(&mut reading, &mut ReadBuf::new(&mut space)) {
                Poll::Ready(read) => failed = read.is_err(),
                Poll::Pending => panic!("there is something to read"),
            }
        }
        assert!(writer.0.load(Ordering::Relaxed));
        let written = Pin::new(&mut near).poll_write(&mut writing, b"x");
        assert!(matches!(written, Poll::Ready(Err(_))));
    }
}

/// Has more to do in a flush and in a shutdown, and notifies whoever has asked last.
struct Slow {
    stream: DuplexStream,
    writer: Option<Waker>,
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Slow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// The two halves of a stream may be in two tasks.
#[tokio::test]
async fn who_waits_for_a_flush_or_a_shutdown_is_woken_where_an_alert_takes_its_place() {
    type Wait = fn(Pin<&mut Near<Slow>>, &mut Context<'_>) -> Poll<io::Result<()>>;
    let waits: [Wait; 2] = [AsyncWrite::poll_flush, AsyncWrite::poll_shutdown];
    for version in VERSIONS {
        for wait in waits {
            let (near, far) = tokio::io::duplex(10_000);
            let configs = Configs::new(version, ring::default_provider());
            let (mut near, mut far) = streams(&configs, near, far).await;
            // What far cannot open is answered by an alert.
            near.stream.write_all(b"\x17\x03\x03\0\x20").await.unwrap();
            near.stream.write_all(&[7; 32]).await.unwrap();
            far.read_u8().await.unwrap_err();
            let mut near = Secured {
                stream: Slow {
                    stream: near.stream,
                    writer: None,
                },
                state: near.state,
            };
            let [writer, reader] = [(); 2].map(|()| Arc::new(Woken(AtomicBool::new(false))));
            let wakers = [&writer, &reader].map(|woken| Waker::from(woken.clone()));
            let [mut writing, mut reading] = [&wakers[0], &wakers[1]].map(Context::from_waker);
            assert!(wait(Pin::new(&mut near), &mut writing).is_pending());
            let mut space = [0; 10];
            let read = Pin::new(&mut near).poll_read(&mut reading, &mut ReadBuf::new(&mut space));
            assert!(matches!(read, Poll::Ready(Err(_))));
            // Whose waker the connection below has now is woken by it, and the other was.
            near.stream.writer.take().into_iter().for_each(Waker::wake);
            assert!(writer.0.load(Ordering::Relaxed), "{version:?}");
        }
    }
}

/// Behind the last of its handshake, in the same flight, and perhaps its end.
fn last_words<C: Connection>(done: Handshake<C>, flight: &mut Outgoing, closes: bool) {
    let mut end = End::of(done);
    end.seal(b"last words").unwrap();
    if closes {
        end.close();
    }
    flight.push(&end.wire());
}

/// What is read of a flight that comes so many bytes at a time, and behind which nothing comes. It can be answered all the same.
async fn understood<C: Connection>(
    mut handshake: Handshake<C>,
    flight: &mut Outgoing,
    step: usize,
) -> (Vec<u8>, io::Result<()>) {
    let (mut answer, flight) = (Outgoing::default(), wire(flight));
    let mut pieces = flight.chunks(step);
    let mut is_done = false;
    while !is_done {
        let piece = pieces.next().expect("an end of the handshake");
        handshake.received.extend_from_slice(piece);
        is_done = handshake.advance(&mut answer).unwrap();
    }
    let (near, mut far) = tokio::io::duplex(10_000);
    for piece in pieces {
        far.write_all(piece).await.unwrap();
    }
    let mut read = Vec::new();
    let mut stream = Secured::new(near, handshake.into_established());
    let mut ended = stream.read_to_end(&mut read).await.map(drop);
    assert!(stream.state.received.is_empty());
    if ended.is_ok() {
        ended = stream.write_all(b"and yet").await;
    }
    (read, ended)
}

/// What the side that reads the last flight of a handshake understands of it, and of this behind it.
async fn last_flight(configs: &Configs, closes: bool, tail: &[u8], step: usize) -> (Vec<u8>, io::Result<()>) {
    let mut server = Handshake::new(configs.server(), BytesMut::new());
    let mut client = Handshake::new(configs.client(), BytesMut::new());
    let (mut up, mut down) = (Outgoing::default(), Outgoing::default());
    assert!(!client.advance(&mut up).unwrap());
    server.received.extend_from_slice(&wire(&mut up));
    assert!(!server.advance(&mut down).unwrap());
    client.received.extend_from_slice(&wire(&mut down));
    match client.advance(&mut up).unwrap() {
        true => {
            last_words(client, &mut up, closes);
            up.push(tail);
            understood(server, &mut up, step).await
        }
        false => {
            server.received.extend_from_slice(&wire(&mut up));
            assert!(server.advance(&mut down).unwrap());
            last_words(server, &mut down, closes);
            down.push(tail);
            understood(client, &mut down, step).await
        }
    }
}

#[tokio::test]
async fn everything_that_a_peer_has_to_say_may_come_with_the_last_of_its_handshake() {
    // Behind the end it may be anything (RFC 8446, section 6.1).
    let tails = [
        &b""[..],
        b"GET /",
        b"\0\0\0\0\0 and more",
        b"\x17\x03\x03\0\x20",
        b"\x16\x03\x03\0\x01\0",
    ];
    for version in VERSIONS {
        for tickets in [0, 2] {
            let mut configs = Configs::new(version, ring::default_provider());
            configs.server.send_tls13_tickets = tickets;
            // TLS 1.2 resumes from the second time on, and its last word is the client's.
            for step in [usize::MAX, 1] {
                for tail in tails {
                    let (read, ended) = last_flight(&configs, true, tail, step).await;
                    assert_eq!(read, b"last words", "{version:?} {tickets} {step} {tail:?}");
                    assert!(ended.is_ok(), "{version:?} {tickets} {step} {tail:?}: {ended:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_record_is_an_error_behind_the_payload_before_it() {
    for version in VERSIONS {
        let configs = Configs::new(version, ring::default_provider());
        for step in [usize::MAX, 1, 1, usize::MAX] {
            let (read, ended) = last_flight(&configs, false, b"GET /", step).await;
            assert_eq!(read, b"last words", "{version:?} {step}");
            let error = ended.unwrap_err().to_string();
            assert!(
                error.contains("InvalidContentType"),
                "{version:?} {step}: {error}"
            );
        }
    }
}

/// They are sealed together, as far as one write goes.
#[tokio::test]
async fn a_write_of_several_pieces() {
    let most = 81_920;
    // What a tunnel reads at once, as frames of HTTP/2.
    let frames = 4 * (9 + 16_384);
    let configs = Configs::new(&TLS13, ring::default_provider());
    let (near, far) = tokio::io::duplex(200_000);
    let (mut near, mut far) = streams(&configs, near, far).await;
    for (lengths, written) in [
        (&[][..], 0),
        (&[0, 0], 0),
        (&[5], 5),
        (&[0, 5, 0], 5),
        (&[9, 16_384], 16_393),
        (&[1; 100], 100),
        (&[frames], frames),
        (&[9, most], most),
        (&[most - 1, 1, 1], most),
        (&[most, 1], most),
        (&[most + 1], most),
        (&[most - 1, 0, 0], most - 1),
    ] {
        let total = lengths.iter().sum::<usize>();
        let payload: Vec<u8> = (0..total).map(|number| (number % 251) as u8).collect();
        let (mut slices, mut rest) = (Vec::new(), &payload[..]);
        for length in lengths {
            let (now, later) = rest.split_at(*length);
            slices.push(io::IoSlice::new(now));
            rest = later;
        }
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut near).poll_write_vectored(&mut cx, &slices) {
            Poll::Ready(count) => assert_eq!(count.unwrap(), written, "{lengths:?}"),
            Poll::Pending => panic!("there is room"),
        }
        let mut read = vec![0; written];
        far.read_exact(&mut read).await.unwrap();
        assert!(read == payload[..written], "{lengths:?}");
        assert_eq!((held(&near), held(&far)), (0, 0));
    }
}

#[tokio::test]
async fn a_write_that_is_interrupted_is_made_again() {
    let configs = Configs::new(&TLS13, ring::default_provider());
    let (stream, far) = tokio::io::duplex(10_000);
    let near = Signals::at_writes(stream);
    let sent = vec![7; 100_000];
    let passing = async {
        let (mut near, mut far) = streams(&configs, near, far).await;
        let mut read = Vec::new();
        let writing = async {
            near.write_all(&sent).await?;
            near.shutdown().await
        };
        let (written, ended) = tokio::join!(writing, far.read_to_end(&mut read));
        written.unwrap();
        ended.unwrap();
        read
    };
    // Without the second try there is no end of the handshake.
    let read = tokio::time::timeout(Duration::from_secs(20), passing)
        .await
        .expect("an end");
    assert!(read == sent);
}

/// Whichever call it is, of either side.
#[tokio::test]
async fn a_handshake_that_is_interrupted_goes_on() {
    for version in VERSIONS {
        for is_next in [false, true] {
            let configs = Configs::new(version, ring::default_provider());
            let (near, far) = tokio::io::duplex(10_000);
            let acceptor = TlsAcceptor::new(TlsServerConfig::from_rustls(configs.server.clone()));
            let mut far = Signals::at_every_call(far, is_next);
            let (server, client) = tokio::join!(
                acceptor.accept(Signals::at_every_call(near, is_next)),
                shake_hands(&mut far, configs.client(), BytesMut::new()),
            );
            assert!(
                server.is_ok() && client.is_ok(),
                "{version:?} {is_next}: {:?}",
                server.err()
            );
        }
    }
}

/// What is held of a record is as much as has come of it, and twice that in memory at most.
#[tokio::test]
async fn a_record_that_comes_byte_by_byte() {
    for version in VERSIONS {
        let (near, far) = tokio::io::duplex(100_000);
        let configs = Configs::new(version, ring::default_provider());
        let (mut near, mut far) = streams(&configs, near, far).await;
        let sent: Vec<u8> = (0..3000_u32).map(|number| (number % 251) as u8).collect();
        let mut sealed = Vec::new();
        for piece in sent.chunks(1000) {
            let count = far.state.seal(piece, &mut sealed).unwrap();
            far.state.outgoing.push(&sealed[..count]);
        }
        let mut cx = Context::from_waker(Waker::noop());
        let (mut read, mut space) = (Vec::new(), [0; 500]);
        for (at, byte) in wire(&mut far.state.outgoing).into_iter().enumerate() {
            far.stream.write_u8(byte).await.unwrap();
            loop {
                let mut into = ReadBuf::new(&mut space);
                match Pin::new(&mut near).poll_read(&mut cx, &mut into) {
                    Poll::Ready(done) => done.unwrap(),
                    Poll::Pending => break,
                }
                read.extend_from_slice(into.filled());
            }
            let held = near.state.received.len();
            assert!(held <= 1000 + 30 && held <= at + 1, "{held}");
            assert!(near.state.received.capacity() <= 64.max(2 * held), "{held}");
        }
        assert_eq!(held(&near), 0);
        assert!(read == sent, "{version:?}");
    }
}

/// Behind the handshake, rustls joins them where they stand, and payload follows.
#[tokio::test]
async fn messages_that_come_in_pieces_behind_the_handshake() {
    for step in [1, 7, 70, 300, usize::MAX] {
        let mut configs = Configs::new(&TLS13, ring::default_provider());
        // A ticket takes several records.
        configs.server.max_fragment_size = Some(64);
        let mut server = Handshake::new(configs.server(), BytesMut::new());
        let mut client = Handshake::new(configs.client(), BytesMut::new());
        let (mut up, mut down) = (Outgoing::default(), Outgoing::default());
        assert!(!client.advance(&mut up).unwrap());
        server.received.extend_from_slice(&wire(&mut up));
        assert!(!server.advance(&mut down).unwrap());
        client.received.extend_from_slice(&wire(&mut down));
        assert!(client.advance(&mut up).unwrap());
        server.received.extend_from_slice(&wire(&mut up));
        assert!(server.advance(&mut down).unwrap());
        let tickets = down.waiting().len();
        assert!(tickets > 128, "{tickets}");
        last_words(server, &mut down, true);

        let (near, mut far) = tokio::io::duplex(10_000);
        let mut near = Secured::new(near, client.into_established());
        let mut cx = Context::from_waker(Waker::noop());
        let (mut read, mut space) = (Vec::new(), [0; 500]);
        for piece in wire(&mut down).chunks(step) {
            far.write_all(piece).await.unwrap();
            while near.state.read_end.is_none() {
                let mut into = ReadBuf::new(&mut space);
                match Pin::new(&mut near).poll_read(&mut cx, &mut into) {
                    Poll::Ready(done) => done.unwrap(),
                    Poll::Pending => break,
                }
                read.extend_from_slice(into.filled());
            }
        }
        assert!(near.state.read_end.is_some() && held(&near) == 0, "{step}");
        assert_eq!(read, b"last words", "{step}");
    }
}

#[test]
fn what_a_stream_is() {
    assert!(size_of::<Secured<(), UnbufferedServerConnection>>() <= 8);
    let state = size_of::<State<UnbufferedServerConnection>>();
    let connection = size_of::<UnbufferedServerConnection>();
    assert!(state <= connection + 200, "{state} {connection}");
}
