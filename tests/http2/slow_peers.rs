//! Peers that are slow, and peers that are gone: a PING is answered when what lies before it has been read, and until then bytes that
//! move say that somebody is there. On either side. Time is simulated, and the links between the two are in memory.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::ext::Protocol;
use http::{Request, Response};
use hyper::body::{Body, Frame};
use switchover::Side;
use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::header::Hop;
use switchover::http2::{
    ConnectStream, Http2Config, Http2Connect, Http2End, Http2Server, Http2ServerConfig, RequestBody,
};
use switchover::test_util::UPGRADE_REQUEST;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower::service_fn;

use crate::upstream::Tunnel;

const INTERVAL: Duration = Duration::from_secs(15);
const PING: Duration = Duration::from_secs(5);
const SEND: Duration = Duration::from_secs(20);
const CLOSE: Duration = Duration::from_secs(3);
/// What a peer has more for what may lie before a PING.
const MOST_MORE: Duration = Duration::from_secs(256);
/// Longer than any of these stories.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const SIDES: [Side; 2] = [Side::Downstream, Side::Upstream];

/// How a link carries bytes.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    /// What waits in it, each way, before the sender has to.
    pub(crate) buffer: usize,
    /// Bytes in a second.
    pub(crate) to_peer: usize,
    pub(crate) from_peer: usize,
}

pub(crate) const FAST: usize = 1 << 20;

/// Cuts a link: what is in it stays there.
pub(crate) type Cut = watch::Sender<bool>;

impl Link {
    /// The near end, the far end, and what cuts it.
    pub(crate) fn lay(self) -> (DuplexStream, DuplexStream, Cut) {
        let (near, near_end) = duplex(self.buffer);
        let (far, far_end) = duplex(1024);
        let (cut, is_cut) = watch::channel(false);
        let (near_reader, near_writer) = tokio::io::split(near_end);
        let (far_reader, far_writer) = tokio::io::split(far_end);
        tokio::spawn(carry(near_reader, far_writer, self.to_peer, is_cut.clone()));
        tokio::spawn(carry(far_reader, near_writer, self.from_peer, is_cut));
        (near, far, cut)
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    rate: usize,
    mut is_cut: watch::Receiver<bool>,
) {
    // A tenth of a second's at a time.
    let mut piece = vec![0; (rate / 10).max(1)];
    loop {
        sleep(Duration::from_millis(100)).await;
        let cut = async {
            if is_cut.wait_for(|cut| *cut).await.is_err() {
                pending::<()>().await;
            }
        };
        let read = tokio::select! {
            biased;
            () = cut => None,
            read = from.read(&mut piece) => Some(read),
        };
        let Some(read) = read else {
            // Both ends stay: whoever waits at one of them waits for nothing.
            return pending().await;
        };
        match read {
            Ok(count @ 1..) => {
                if to.write_all(&piece[..count]).await.is_err() {
                    return;
                }
            }
            _ => {
                let _ = to.shutdown().await;
                return;
            }
        }
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A tunnel on a connection to a peer of the `h2` crate, which answers PINGs when it gets to them.
pub(crate) struct Story {
    /// This crate's end.
    pub(crate) ours: Box<dyn Stream>,
    pub(crate) peers: Tunnel,
    cut: Cut,
}

impl Story {
    pub(crate) async fn of(side: Side, link: Link) -> Story {
        let (near, far, cut) = link.lay();
        let (ours, peers) = match side {
            Side::Downstream => of_client(near, far).await,
            Side::Upstream => of_upstream(near, far).await,
        };
        Story { ours, peers, cut }
    }

    /// A byte there and back, behind whatever else is on its way.
    async fn is_alive(&mut self) {
        self.ours.write_all(b"!").await.unwrap();
        self.ours.flush().await.unwrap();
        loop {
            let bytes = self.peers.read().await.expect("a stream").expect("no end");
            if bytes.ends_with(b"!") {
                break;
            }
        }
        self.peers.try_send(Bytes::from_static(b"?")).await.unwrap();
        while self.ours.read_u8().await.unwrap() != b'?' {}
    }
}

async fn of_client(near: DuplexStream, far: DuplexStream) -> (Box<dyn Stream>, Tunnel) {
    let (hand_over, mut opened) = mpsc::unbounded_channel();
    let service = service_fn(move |mut request: Request<RequestBody>| {
        let stream = request.extensions_mut().remove::<ConnectStream>().unwrap();
        hand_over.send(stream).unwrap();
        async { Ok::<_, Infallible>(Response::new(String::new())) }
    });
    tokio::spawn(async move { server().serve(near, service, pending()).await });
    let mut send = client(far).await;
    let request = Request::connect("http://a/live")
        .extension(Protocol::from_static("websocket"))
        .body(())
        .unwrap();
    let (response, sending) = send.send_request(request, false).unwrap();
    let receiving = response.await.unwrap().into_body();
    let ours = opened.recv().await.unwrap().await.unwrap();
    // A client that has dropped its sender would close the connection.
    tokio::spawn(async move {
        sleep(FOR_EVER).await;
        drop(send);
    });
    (Box::new(ours), Tunnel::new(sending, receiving))
}

fn server() -> Http2Server {
    let config = Http2ServerConfig::default()
        .send_timeout(SEND)
        .close_timeout(CLOSE)
        .ping_interval(INTERVAL)
        .ping_timeout(PING);
    Http2Server::new(config)
}

/// A client with windows that are never used up.
async fn client(far: DuplexStream) -> h2::client::SendRequest<Bytes> {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size((1 << 31) - 1)
        .initial_connection_window_size((1 << 31) - 1);
    let (send, mut connection) = builder.handshake(far).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    pings.ping(h2::Ping::opaque()).await.unwrap();
    send
}

/// One connection, which is there already.
struct Laid(std::sync::Mutex<Option<DuplexStream>>);

impl Connect for Laid {
    type Stream = DuplexStream;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<DuplexStream, ConnectError> {
        Ok(self.0.lock().unwrap().take().expect("one connection"))
    }
}

async fn of_upstream(near: DuplexStream, far: DuplexStream) -> (Box<dyn Stream>, Tunnel) {
    let (hand_over, opened) = oneshot::channel();
    tokio::spawn(async move {
        let mut builder = h2::server::Builder::new();
        builder
            .enable_connect_protocol()
            .initial_window_size((1 << 31) - 1)
            .initial_connection_window_size((1 << 31) - 1);
        let mut connection = builder.handshake::<_, Bytes>(far).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        let send = respond.send_response(Response::new(()), false).unwrap();
        let _ = hand_over.send(Tunnel::new(send, request.into_body()));
        let _ = connection.accept().await;
    });
    let parsed = switchover::http1::parse_request(UPGRADE_REQUEST.as_bytes(), &Default::default());
    let Ok(switchover::http1::Parsed::Complete { parts, .. }) = parsed else {
        panic!()
    };
    let config = Http2Config::default().ping_interval(INTERVAL).ping_timeout(PING);
    let connect = Http2Connect::new(Laid(Some(near).into())).config(config);
    let mut ours = connect
        .connect(ConnectRequest::new(&parts, Hop::unknown()))
        .await
        .unwrap();
    ours.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
    let tunnel = opened.await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(ours.read_u8().await.unwrap());
    }
    (Box::new(ours), tunnel)
}

const BURST: usize = 200 * 1024;

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_is_there() {
    for side in SIDES {
        for (buffer, to_peer) in [
            // What lies before the PING waits in this crate, and goes on little by little: about seven minutes of it.
            (4 * 1024, 200),
            // It is all on its way, where nobody sees it, for a minute and a half.
            (1 << 20, 2048),
        ] {
            let from_peer = FAST;
            let mut story = Story::of(
                side,
                Link {
                    buffer,
                    to_peer,
                    from_peer,
                },
            )
            .await;
            let story = async move {
                let writing = async { story.ours.write_all(&[b'x'; BURST]).await.unwrap() };
                let reading = async {
                    let mut received = 0;
                    while received < BURST {
                        let bytes = story.peers.read().await.unwrap_or_else(|error| {
                            panic!("{side}, {buffer}: {error} after {received} bytes")
                        });
                        received += bytes.expect("no end").len();
                    }
                };
                tokio::join!(writing, reading);
                story.is_alive().await;
            };
            timeout(FOR_EVER, story).await.expect("an end");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_slowly_is_there() {
    // Its answer to the PING comes behind what it has sent before.
    const SENT: usize = 60 * 1024;
    for side in SIDES {
        let link = Link {
            buffer: 1 << 20,
            to_peer: FAST,
            from_peer: 200,
        };
        let mut story = Story::of(side, link).await;
        let story = async move {
            story.peers.try_send(vec![b'x'; SENT].into()).await.unwrap();
            let mut received = vec![0; SENT];
            let read = story.ours.read_exact(&mut received).await;
            read.unwrap_or_else(|error| panic!("{side}: {error}"));
            story.is_alive().await;
        };
        timeout(FOR_EVER, story).await.expect("an end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_is_found_out_whatever_it_was_sent() {
    for side in SIDES {
        for (name, buffer, burst, drip) in [
            ("idle", 1 << 20, 0, 0),
            ("much is on its way", 1 << 20, BURST, 0),
            ("much waits", 16 * 1024, BURST, 0),
            ("more goes out all the time, and is never read", 1 << 20, 0, 10),
            ("more goes out behind much", 1 << 20, BURST, 10),
        ] {
            let link = Link {
                buffer,
                to_peer: FAST,
                from_peer: FAST,
            };
            let mut story = Story::of(side, link).await;
            // Behind a PING that was answered.
            sleep(INTERVAL + INTERVAL / 2).await;
            story.is_alive().await;
            story.cut.send(true).unwrap();
            sleep(Duration::from_secs(1)).await;
            let gone = Instant::now();
            let (mut reader, mut writer) = tokio::io::split(story.ours);
            tokio::spawn(async move {
                let _ = writer.write_all(&vec![b'x'; burst]).await;
                loop {
                    sleep(Duration::from_secs(1)).await;
                    if writer.write_all(&vec![b'x'; drip]).await.is_err() {
                        return;
                    }
                    let _ = writer.flush().await;
                }
            });
            let error = timeout(FOR_EVER, reader.read_u8()).await.expect("an end");
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
            let took = gone.elapsed();
            let more = match burst {
                0 => Duration::ZERO,
                _ => MOST_MORE,
            };
            // A look is an eighth of the time.
            let most = INTERVAL + PING + more + more / 8;
            assert!(took <= most, "{side}, {name}: {took:?}");
        }
    }
}

/// A body of so many bytes that are there at once.
struct Whole(usize);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.min(10_000);
        self.0 -= piece;
        Poll::Ready((piece > 0).then(|| Ok(Frame::data(vec![b'x'; piece].into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }
}

/// Serves bodies of so many bytes over a link.
fn serve_bodies(
    link: Link,
    length: usize,
    drain: impl Future<Output = ()> + Send + 'static,
) -> (DuplexStream, JoinHandle<io::Result<Http2End>>) {
    let (near, far, cut) = link.lay();
    let service = service_fn(move |_: Request<RequestBody>| async move {
        Ok::<_, Infallible>(Response::new(Whole(length)))
    });
    let serving = tokio::spawn(async move {
        let _cut = cut;
        server().serve(near, service, drain).await
    });
    (far, serving)
}

/// How much of an answer arrives, and how it ends.
async fn taken(mut body: h2::RecvStream) -> (usize, Option<Reason>) {
    let mut taken = 0;
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => {
                taken += data.len();
                let _ = body.flow_control().release_capacity(data.len());
            }
            Err(error) => return (taken, error.reason()),
        }
    }
    (taken, None)
}

#[tokio::test(start_paused = true)]
async fn answers_that_share_a_slow_connection_are_not_late() {
    // Each of them waits for 70 seconds until it is its turn again.
    let link = Link {
        buffer: 1024,
        to_peer: 2048,
        from_peer: FAST,
    };
    let (far, _serving) = serve_bodies(link, 100 * 1024, pending());
    let mut send = client(far).await;
    let mut answers = Vec::new();
    for _ in 0..9 {
        let request = Request::get("http://a/").body(()).unwrap();
        answers.push(send.send_request(request, true).unwrap().0);
    }
    let reading = answers
        .into_iter()
        .map(|answer| tokio::spawn(async { taken(answer.await.unwrap().into_body()).await }));
    for answer in reading.collect::<Vec<_>>() {
        let ended = timeout(FOR_EVER, answer).await.expect("an end").unwrap();
        assert_eq!(ended, (100 * 1024, None));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_is_late_whatever_else_moves() {
    let link = Link {
        buffer: 1024,
        to_peer: 2048,
        from_peer: FAST,
    };
    let (far, _serving) = serve_bodies(link, 10 << 20, pending());
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(65_535)
        .initial_connection_window_size((1 << 31) - 1);
    let (mut send, connection) = builder.handshake::<_, Bytes>(far).await.unwrap();
    tokio::spawn(connection);
    let mut ask = || {
        let request = Request::get("http://a/").body(()).unwrap();
        send.send_request(request, true).unwrap().0
    };
    let (read, left) = (ask(), ask());
    let read = tokio::spawn(async { taken(read.await.unwrap().into_body()).await });
    let mut left = left.await.unwrap().into_body();
    // It gets what its window has room for, half a connection's worth each second, and no more.
    let mut received = 0;
    let ended = async {
        loop {
            match left.data().await.expect("no end in order") {
                Ok(data) => received += data.len(),
                Err(error) => return error.reason(),
            }
        }
    };
    let began = Instant::now();
    assert_eq!(
        timeout(FOR_EVER, ended).await.expect("an end"),
        Some(Reason::CANCEL)
    );
    // Its share of the connection, its time, and what lies before the reset.
    let most = Duration::from_secs(65_535 / 1024) + SEND + Duration::from_secs(40);
    assert!(began.elapsed() < most, "{:?}", began.elapsed());
    assert_eq!(received, 65_535);
    assert!(!read.is_finished(), "the other one goes on");
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_cut_the_answer_of_a_client_that_reads_slowly() {
    for buffer in [1024, 16 * 1024, 1 << 20] {
        let link = Link {
            buffer,
            to_peer: 2048,
            from_peer: FAST,
        };
        let (drain, drained) = oneshot::channel::<()>();
        let drained = async move {
            let _ = drained.await;
        };
        let (far, serving) = serve_bodies(link, 60 * 1024, drained);
        let mut send = client(far).await;
        let request = Request::get("http://a/").body(()).unwrap();
        let (answer, _) = send.send_request(request, true).unwrap();
        let body = answer.await.unwrap().into_body();
        drain.send(()).unwrap();
        assert_eq!(
            timeout(FOR_EVER, taken(body)).await.expect("an end"),
            (60 * 1024, None),
            "{buffer}"
        );
        drop(send);
        let ended = timeout(FOR_EVER, serving).await.expect("an end").unwrap();
        assert_eq!(ended.unwrap(), Http2End::Closed, "{buffer}");
    }
}
