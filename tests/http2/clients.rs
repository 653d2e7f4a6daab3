//! Clients of an `Http2Server` that hold on to what they do not use. Time is simulated and streams are in memory, so that every
//! deadline is exact and nothing buffers but the server.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::ext::Protocol;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use switchover::http2::{ConnectStream, Http2End, Http2Server, Http2ServerConfig, RequestBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower::{Service, service_fn};

const HEADER: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(30);
const SEND: Duration = Duration::from_secs(20);
const CLOSE: Duration = Duration::from_secs(3);
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING: Duration = Duration::from_secs(5);

/// The most that may wait for one stream.
const SEND_BUFFER: usize = 64 * 1024;

fn config() -> Http2ServerConfig {
    Http2ServerConfig::default()
        .header_timeout(HEADER)
        .idle_timeout(IDLE)
        .send_timeout(SEND)
        .close_timeout(CLOSE)
        .ping_interval(PING_INTERVAL)
        .ping_timeout(PING)
}

/// What the server has made, and what of it is left.
#[derive(Clone, Default)]
struct Origin {
    given: Arc<AtomicUsize>,
    bodies: Arc<AtomicUsize>,
}

/// A body without an end, and without a pause.
struct Endless {
    origin: Origin,
    piece: Bytes,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.origin.given.fetch_add(self.piece.len(), Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty()
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.origin.bodies.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Origin {
    fn body(&self, piece: usize) -> Endless {
        self.bodies.fetch_add(1, Ordering::SeqCst);
        Endless {
            origin: self.clone(),
            piece: vec![b'x'; piece].into(),
        }
    }

    fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }

    fn bodies(&self) -> usize {
        self.bodies.load(Ordering::SeqCst)
    }

    /// Serves a connection: `/` is answered empty, a CONNECT with a tunnel that is written to without an end, anything else
    /// with a body without an end.
    fn serve(&self, buffer: usize) -> (DuplexStream, JoinHandle<io::Result<Http2End>>) {
        let (client, stream) = duplex(buffer);
        let origin = self.clone();
        let service = service_fn(move |mut request: Request<RequestBody>| {
            let piece = match request.uri().path() {
                "/" | "/live" => 0,
                _ => 10_000,
            };
            if let Some(stream) = request.extensions_mut().remove::<ConnectStream>() {
                tokio::spawn(flood(stream, origin.clone()));
            }
            let response = Response::new(origin.body(piece));
            async move { Ok::<_, Infallible>(response) }
        });
        let server = Http2Server::new(config());
        let serving = tokio::spawn(async move { server.serve(stream, service, pending()).await });
        (client, serving)
    }
}

async fn flood(stream: ConnectStream, origin: Origin) {
    let mut stream = stream.await.expect("a stream after a 2xx");
    while let Ok(count) = stream.write(&[b'x'; 10_000]).await {
        origin.given.fetch_add(count, Ordering::SeqCst);
    }
}

/// One frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING_FRAME: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `GET http://a/`, or `POST`, in HPACK.
const GET: &[u8] = b"\x82\x86\x84\x41\x01a";
const POST: &[u8] = b"\x83\x86\x84\x41\x01a";

/// `CONNECT http://a/` for a WebSocket (RFC 8441, section 4).
const CONNECT: &[u8] = b"\x02\x07CONNECT\x86\x84\x41\x01a\x00\x09:protocol\x09websocket";

fn begun() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()
}

fn ping() -> Vec<u8> {
    frame(PING_FRAME, 0, 0, b"12345678")
}

/// Reads and forgets.
fn reading(client: DuplexStream) -> tokio::io::WriteHalf<DuplexStream> {
    let (mut reader, writer) = tokio::io::split(client);
    tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
    writer
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_for_nothing_is_ended_at_the_header_deadline() {
    let half_a_head = frame(HEADERS, 0, 1, &GET[..3]);
    let cases: [(&str, Vec<u8>, Vec<u8>); 6] = [
        ("silence", vec![], vec![]),
        ("half a preface", PREFACE[..10].to_vec(), vec![]),
        ("a preface that dribbles", vec![], b"P".to_vec()),
        ("settings that are never acknowledged", begun(), vec![]),
        ("PINGs", begun(), ping()),
        ("half a head", [begun(), half_a_head].concat(), vec![]),
    ];
    for (name, first, then) in cases {
        let (client, mut serving) = Origin::default().serve(1 << 20);
        let mut client = reading(client);
        let began = Instant::now();
        client.write_all(&first).await.unwrap();
        let ended = loop {
            tokio::select! {
                ended = &mut serving => break ended.unwrap(),
                () = sleep(Duration::from_secs(1)) => {
                    // What dribbles is the preface, a byte at a time.
                    let at = began.elapsed().as_secs() as usize - 1;
                    let byte = PREFACE.get(at..=at).unwrap_or_default();
                    let _ = client.write_all(if then == b"P" { byte } else { &then }).await;
                }
            }
        };
        assert_eq!(ended.unwrap(), Http2End::HeaderTimeout, "{name}");
        let took = began.elapsed();
        assert!(took >= HEADER && took <= HEADER + CLOSE, "{name}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_is_under_way_is_ended_at_the_idle_deadline() {
    let get = frame(HEADERS, END_STREAM | END_HEADERS, 1, GET);
    let post = frame(HEADERS, END_HEADERS, 1, POST);
    let cancelled = [post, frame(RST_STREAM, 0, 1, &8u32.to_be_bytes())].concat();
    for (name, asked) in [("answered", get), ("cancelled", cancelled)] {
        let (client, serving) = Origin::default().serve(1 << 20);
        let (mut client, began) = (reading(client), Instant::now());
        client.write_all(&[begun(), asked].concat()).await.unwrap();
        // Alive all the time, so that no other deadline is met.
        let answering = tokio::spawn(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                let pong = frame(PING_FRAME, 1, 0, &PONG);
                let _ = client.write_all(&[ping(), pong].concat()).await;
            }
        });
        let ended = serving.await.unwrap().unwrap();
        answering.abort();
        let took = began.elapsed();
        assert_eq!(ended, Http2End::IdleTimeout, "{name}");
        assert!(took >= IDLE && took <= IDLE + CLOSE, "{name}: {took:?}");
    }
}

/// What h2 says in its own PINGs.
const PONG: [u8; 8] = [0x3b, 0x7c, 0xdb, 0x7a, 0x0b, 0x87, 0x16, 0xb4];

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_silent_is_ended_at_the_ping_deadline() {
    for more in [vec![], frame(HEADERS, 0, 3, &GET[..3])] {
        let origin = Origin::default();
        let (client, serving) = origin.serve(1 << 20);
        let (mut client, began) = (reading(client), Instant::now());
        let endless = b"\x82\x86\x44\x02/x\x41\x01a";
        let asked = frame(HEADERS, END_STREAM | END_HEADERS, 1, endless);
        client.write_all(&[begun(), asked, more].concat()).await.unwrap();
        assert_eq!(serving.await.unwrap().unwrap(), Http2End::PingTimeout);
        let took = began.elapsed();
        // A window's worth of the answer lies before the PING, and may be unread.
        let more = Duration::from_secs(65_535 / 1024 + 1);
        assert_eq!(
            took.as_secs(),
            (PING_INTERVAL + PING + more).as_secs(),
            "{took:?}"
        );
        // The request went with it.
        tokio::task::yield_now().await;
        while origin.bodies() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A client of the h2 crate, with these windows.
async fn client(
    stream: DuplexStream,
    window: u32,
    connection_window: u32,
) -> (h2::client::SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(window)
        .initial_connection_window_size(connection_window)
        .enable_push(false);
    let (send, mut connection) = builder.handshake(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let driving = tokio::spawn(connection);
    pings.ping(h2::Ping::opaque()).await.unwrap();
    (send, driving)
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_costs_no_more_than_its_buffer_and_ends_at_the_send_deadline() {
    // The client opens its window for so much and reads nothing of the stream; it answers PINGs all the time.
    for window in [0, 1, 65_535, 200_000] {
        let origin = Origin::default();
        let (stream, _serving) = origin.serve(1 << 20);
        let (mut send, _driving) = client(stream, window, 1 << 20).await;
        let mut streams = Vec::new();
        let count = 4;
        for _ in 0..count {
            let request = Request::get("http://a/endless").body(()).unwrap();
            let (response, _) = send.send_request(request, true).unwrap();
            streams.push(response.await.unwrap().into_body());
        }
        sleep(SEND / 2).await;
        assert_eq!(origin.bodies(), count);
        // One piece of the body is what is being sent, and more than that has not been asked for.
        let most = count * (window as usize + SEND_BUFFER + 10_000);
        assert!(origin.given() <= most, "{window}: {}", origin.given());
        sleep(SEND).await;
        assert_eq!(origin.bodies(), 0, "{window}: whatever it came from is let go");
        for body in &mut streams {
            let mut taken = 0;
            let error = loop {
                match body.data().await.expect("no end in order") {
                    Ok(data) => taken += data.len(),
                    Err(error) => break error,
                }
            };
            assert!(taken <= window as usize);
            assert_eq!(error.reason(), Some(Reason::CANCEL), "{window}");
        }
        // The connection goes on.
        let request = Request::get("http://a/").body(()).unwrap();
        let (response, _) = send.send_request(request, true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_all_windows_and_does_not_read_costs_no_more() {
    let origin = Origin::default();
    let (mut stream, serving) = origin.serve(16 * 1024);
    let large = frame(SETTINGS, 0, 0, b"\x00\x04\x7f\xff\xff\xff");
    let window_update = frame(8, 0, 0, &0x7fff_0000u32.to_be_bytes());
    let mut asked = [PREFACE, &large, &window_update].concat();
    let count = 100;
    for index in 0..count {
        let endless = b"\x82\x86\x44\x02/x\x41\x01a";
        asked.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * index + 1, endless));
    }
    stream.write_all(&asked).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    // Besides each stream's own: what the connection has taken from all of them, and what is in the pipe.
    let most = count as usize * (SEND_BUFFER + 10_000) + 2 * SEND_BUFFER + 16 * 1024;
    assert!(origin.given() <= most, "{}", origin.given());
    assert_eq!(origin.bodies(), count as usize);
    let ended = serving.await.unwrap().unwrap();
    assert_eq!(
        ended,
        Http2End::PingTimeout,
        "it cannot answer what it does not read"
    );
    while origin.bodies() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_not_read_takes_no_more_than_its_buffer() {
    for window in [0, 1, 65_535] {
        let origin = Origin::default();
        let (stream, _serving) = origin.serve(1 << 20);
        let (mut send, _driving) = client(stream, window, 1 << 20).await;
        let request = Request::connect("http://a/live")
            .extension(Protocol::from_static("websocket"))
            .body(())
            .unwrap();
        let (response, mut stream) = send.send_request(request, false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        sleep(Duration::from_secs(1)).await;
        let given = origin.given();
        assert!(given <= window as usize + SEND_BUFFER, "{window}: {given}");
        assert!(given >= window as usize, "{window}: {given}");
        stream.send_reset(Reason::CANCEL);
    }
}

#[tokio::test(start_paused = true)]
async fn floods_end_the_connection() {
    let head = frame(HEADERS, END_HEADERS, 1, POST);
    let empty = frame(DATA, 0, 1, b"");
    let half_a_head = frame(HEADERS, 0, 1, &GET[..3]);
    let continuation = frame(CONTINUATION, 0, 1, b"");
    for (name, first, more) in [
        ("empty DATA", head, empty),
        ("CONTINUATION without an end", half_a_head, continuation),
    ] {
        let (client, mut serving) = Origin::default().serve(1 << 20);
        let mut client = reading(client);
        client.write_all(&[begun(), first].concat()).await.unwrap();
        let mut sent = 0;
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut serving => break ended.unwrap(),
                _ = client.write_all(&more) => sent += 1,
            }
            assert!(sent < 100_000, "{name}");
        };
        let error = ended.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cancels_all_it_asks_for_is_ended() {
    let (client, mut serving) = Origin::default().serve(1 << 20);
    let mut client = reading(client);
    client.write_all(&begun()).await.unwrap();
    let mut asked = 0;
    let ended = loop {
        // A body that never comes, and a service that does not wait for it: what is cancelled has been answered, or not.
        let post = frame(HEADERS, END_HEADERS, 2 * asked + 1, POST);
        let reset = frame(RST_STREAM, 0, 2 * asked + 1, &8u32.to_be_bytes());
        let both = [post, reset].concat();
        tokio::select! {
            biased;
            ended = &mut serving => break ended.unwrap(),
            _ = client.write_all(&both) => asked += 1,
        }
        assert!(asked < 10_000);
        tokio::task::yield_now().await;
    };
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

/// A page that is left cancels what it has asked for, before the server's next turn.
#[tokio::test(start_paused = true)]
async fn as_many_requests_as_may_be_open_are_cancelled_in_one_read() {
    for most in [1, 32, 128, 500] {
        let asked = most.max(32);
        let heads = (0..asked).map(|index| frame(HEADERS, END_HEADERS, 2 * index + 1, POST));
        let resets = (0..asked).map(|index| frame(RST_STREAM, 0, 2 * index + 1, &8u32.to_be_bytes()));
        let in_turn = heads
            .clone()
            .zip(resets.clone())
            .flat_map(|(head, reset)| [head, reset]);
        let mut orders = vec![in_turn.collect::<Vec<_>>().concat()];
        if most >= asked {
            orders.push(heads.chain(resets).collect::<Vec<_>>().concat());
        }
        for sent in orders {
            let config = config().max_streams(most);
            assert!(is_answered_after(config, &[sent], 2 * asked + 1).await, "{most}");
        }
    }
}

/// h2 takes requests after GOAWAY until the client answers its PING.
#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_after_goaway_is_served_no_longer_than_it_takes_to_read_that() {
    let (client, stream) = duplex(1 << 20);
    let (drain, drained) = tokio::sync::oneshot::channel::<()>();
    let service =
        service_fn(|_: Request<RequestBody>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let drained = async move {
        let _ = drained.await;
    };
    let config = config().ping_interval(None);
    let serving = tokio::spawn(async move { Http2Server::new(config).serve(stream, service, drained).await });
    let (mut reader, mut writer) = tokio::io::split(client);
    let (told, mut answers) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut head = [0; 9];
        while reader.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            reader.read_exact(&mut payload).await.unwrap();
            if [HEADERS, RST_STREAM].contains(&head[3]) {
                told.send((head[3], payload)).unwrap();
            }
        }
    });
    writer.write_all(&begun()).await.unwrap();
    let mut drain = Some(drain);
    let mut ended = Vec::new();
    for asked in 0..60 {
        let get = frame(HEADERS, END_STREAM | END_HEADERS, 2 * asked + 1, GET);
        if writer.write_all(&get).await.is_err() {
            break;
        }
        match answers.recv().await {
            Some((RST_STREAM, reason)) => ended.push(reason == 7u32.to_be_bytes()),
            Some(_) => assert!(ended.is_empty(), "served after it was refused"),
            None => break,
        }
        if let Some(drain) = drain.take() {
            drain.send(()).unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(
        !ended.is_empty() && ended.iter().all(|is_refused| *is_refused),
        "{ended:?}"
    );
    assert_eq!(serving.await.unwrap().unwrap(), Http2End::CloseTimeout);
}

/// The client gives up what the service then fails at.
#[tokio::test(start_paused = true)]
async fn who_cancels_is_ended_although_the_service_fails_because_of_it() {
    let (client, stream) = duplex(1 << 20);
    let mut client = reading(client);
    let service = service_fn(|request: Request<RequestBody>| async {
        let body = request.into_body().collect().await?;
        Ok::<_, io::Error>(Response::new(format!("{body:?}")))
    });
    let serving = tokio::spawn(async move {
        let server = Http2Server::new(config());
        server.serve(stream, service, pending()).await
    });
    client.write_all(&begun()).await.unwrap();
    for index in 0..2000 {
        let post = frame(HEADERS, END_HEADERS, 2 * index + 1, POST);
        let reset = frame(RST_STREAM, 0, 2 * index + 1, &8u32.to_be_bytes());
        if client.write_all(&post).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
        let _ = client.write_all(&reset).await;
        tokio::task::yield_now().await;
    }
    let ended = tokio::time::timeout(Duration::from_secs(1), serving).await;
    let ended = ended.expect("it goes on").unwrap();
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test(start_paused = true)]
async fn what_the_service_fails_at_is_not_cancelled() {
    let count = 1500;
    for panics in [false, true] {
        let asked = Arc::new(AtomicU32::new(0));
        let service = service_fn(move |_: Request<RequestBody>| {
            let is_last = asked.fetch_add(1, Ordering::Relaxed) == count;
            async move {
                assert!(is_last || !panics, "it fails");
                match is_last {
                    true => Ok(Response::new(String::new())),
                    false => Err(io::Error::other("it fails")),
                }
            }
        });
        let gets = (0..count).map(|index| frame(HEADERS, END_STREAM | END_HEADERS, 2 * index + 1, GET));
        let sent: Vec<_> = gets.collect();
        let next = 2 * count + 1;
        assert!(is_answered_by(service, config(), &sent, next).await, "{panics}");
    }
}

/// Whether a client is answered that has sent all of this. Tunnels are dropped as soon as they are open.
async fn is_answered_after(config: Http2ServerConfig, sent: &[Vec<u8>], next: u32) -> bool {
    let service = service_fn(|mut request: Request<RequestBody>| {
        if let Some(stream) = request.extensions_mut().remove::<ConnectStream>() {
            tokio::spawn(async move { stream.await.map(drop) });
        }
        async { Ok::<_, Infallible>(Response::new(String::new())) }
    });
    is_answered_by(service, config, sent, next).await
}

async fn is_answered_by<S>(service: S, config: Http2ServerConfig, sent: &[Vec<u8>], next: u32) -> bool
where
    S: Service<Request<RequestBody>, Response = Response<String>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (client, stream) = duplex(1 << 20);
    let server = Http2Server::new(config);
    let serving = tokio::spawn(async move { server.serve(stream, service, pending()).await });
    let (mut reader, mut writer) = tokio::io::split(client);
    let answered = tokio::spawn(async move {
        let mut head = [0; 9];
        while reader.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            tokio::io::copy(&mut (&mut reader).take(length.into()), &mut tokio::io::sink())
                .await
                .unwrap();
            if head[3] == HEADERS && head[5..] == next.to_be_bytes() {
                return true;
            }
        }
        false
    });
    writer.write_all(&begun()).await.unwrap();
    for sent in sent {
        // Where the server has ended the connection, that is what is found out.
        let _ = writer.write_all(sent).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    let get = frame(HEADERS, END_STREAM | END_HEADERS, next, GET);
    let _ = writer.write_all(&get).await;
    let alive = answered.await.unwrap();
    serving.abort();
    alive
}

#[tokio::test(start_paused = true)]
async fn what_was_on_its_way_to_streams_that_were_reset_is_no_fault_of_the_connection() {
    // The client has not heard of it.
    let count = 1500;
    let asked = (0..count).map(|index| frame(HEADERS, END_HEADERS, 2 * index + 1, CONNECT));
    let late = (0..count).map(|index| frame(DATA, 0, 2 * index + 1, &[b'x'; 300]).repeat(10));
    let sent: Vec<_> = asked.chain(late).collect();
    assert!(is_answered_after(config(), &sent, 2 * count + 1).await);
}

#[tokio::test(start_paused = true)]
async fn many_small_frames_in_one_read_are_no_fault_whatever_the_windows() {
    for config in [config(), config().max_streams(1)] {
        let post = frame(HEADERS, END_HEADERS, 1, POST);
        let small = frame(DATA, 0, 1, b"ten bytes.").repeat(2000);
        let last = frame(DATA, END_STREAM, 1, b"");
        assert!(is_answered_after(config, &[[post, small, last].concat()], 3).await);
    }
}

#[tokio::test(start_paused = true)]
async fn replies_that_nobody_reads_stop_the_reading() {
    for (name, asks) in [("PING", ping()), ("SETTINGS", frame(SETTINGS, 0, 0, b""))] {
        let (mut client, serving) = Origin::default().serve(1024);
        client.write_all(&begun()).await.unwrap();
        let mut sent = 0;
        let flood = async {
            loop {
                client.write_all(&asks).await.unwrap();
                sent += asks.len();
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), flood).await;
        // What waits for the client is as much as what has been asked, and bounded.
        assert!(sent < 256 * 1024, "{name}: {sent}");
        assert!(!serving.is_finished(), "{name}");
        assert_eq!(serving.await.unwrap().unwrap(), Http2End::HeaderTimeout, "{name}");
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_with_more_fields_than_the_limit_is_refused() {
    let (stream, _serving) = Origin::default().serve(1 << 20);
    let (mut send, _driving) = client(stream, 65_535, 1 << 20).await;
    for (fields, status) in [(128, 200), (129, 431)] {
        let mut request = Request::get("http://a/");
        for index in 0..fields {
            request = request.header(format!("x-{index}"), "1");
        }
        let (response, _) = send.send_request(request.body(()).unwrap(), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), status);
        assert!(response.headers().contains_key("date"), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_too_many_fields_is_an_answer_and_not_cancelled() {
    let count = 1500;
    let head = [GET, b"\x00\x01x\x011"].concat();
    let refused = (0..count).map(|index| frame(HEADERS, END_STREAM | END_HEADERS, 2 * index + 1, &head));
    let sent: Vec<_> = refused.collect();
    assert!(is_answered_after(config().max_head_fields(0), &sent, 2 * count + 1).await);
}

/// The body of a refusal may take long: that there is no stream is known when the status is.
#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_stream_of_a_connect_learns_at_once_that_it_was_refused() {
    let (hand_over, mut handed_over) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(move |mut request: Request<RequestBody>| {
        hand_over
            .send(request.extensions_mut().remove::<ConnectStream>().unwrap())
            .unwrap();
        // More than the client's window has room for.
        let mut response = Response::new("x".repeat(200_000));
        *response.status_mut() = http::StatusCode::FORBIDDEN;
        async { Ok::<_, Infallible>(response) }
    });
    let (near, far) = duplex(1 << 20);
    let server = Http2Server::new(config());
    tokio::spawn(async move { server.serve(far, service, pending()).await });
    let (mut send, _driving) = client(near, 65_535, 1 << 20).await;
    let request = Request::connect("http://a/live")
        .extension(Protocol::from_static("websocket"))
        .body(())
        .unwrap();
    let (response, _sending) = send.send_request(request, false).unwrap();
    assert_eq!(response.await.unwrap().status(), 403);
    let stream = handed_over.recv().await.unwrap();
    let known = tokio::time::timeout(Duration::from_secs(1), stream).await;
    assert!(known.expect("known before the body is out").is_none());
}

/// A browser makes its WebSockets this way where it is offered, and not by HTTP/1.1 when they are refused.
#[tokio::test(start_paused = true)]
async fn extended_connect_is_offered_where_it_is_wanted() {
    for offered in [true, false] {
        let (client, stream) = duplex(SEND_BUFFER);
        let service =
            service_fn(|_: Request<RequestBody>| async { Ok::<_, Infallible>(Response::new(String::new())) });
        let server = Http2Server::new(config().extended_connect(offered));
        tokio::spawn(async move { server.serve(stream, service, pending()).await });
        let (mut client, connection) = h2::client::handshake(client).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("http://a/").body(()).unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
        assert_eq!(client.is_extended_connect_protocol_enabled(), offered);
    }
}
