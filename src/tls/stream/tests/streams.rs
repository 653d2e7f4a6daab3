//! Streams over connections in memory: what they hold, what the connection below gets to see, and who is woken.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, Wake};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use super::*;
use crate::tls::stream::state::State;
use crate::tls::stream::{Secured, shake_hands};

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
        loop {
            match Pin::new(&mut near).poll_write(&mut writing, &[7; 5000]) {
                Poll::Ready(written) => assert_eq!(written.unwrap(), 5000),
                Poll::Pending => break,
            }
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

#[test]
fn what_a_stream_is() {
    assert!(size_of::<Secured<(), UnbufferedServerConnection>>() <= 8);
    let state = size_of::<State<UnbufferedServerConnection>>();
    let connection = size_of::<UnbufferedServerConnection>();
    assert!(state <= connection + 200, "{state} {connection}");
}
