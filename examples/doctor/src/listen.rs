//! The origin: it answers each request with the head that arrived, accepts WebSocket by the rules of the library, and sends
//! messages back. One line for each request on the standard output; without a reader of that it ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY};
use http::request::Parts;
use http::{Method, StatusCode, response};
use switchover::Side;
use switchover::handshake::{HandshakePolicy, Rejection, UpgradeRequest};
use switchover::header::Protocol;
use switchover::http1::{HeadLimits, HeadScan, Parsed, encode_response, parse_request};
use switchover::tunnel::AnyStream;
use switchover::websocket::{CloseCode, ClosePayload, FrameHeader, OpCode, SecWebSocketKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Duration, Instant, sleep, timeout};

use super::frames::{Event, Frames};
use super::output;
use super::protocol::{FIELD, MARK, STILL_OPEN};
use super::secrets::escaped;

/// For a head, from the first byte to the last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A hop that takes the end of one direction for that of both has ended the other by then.
const AFTER_END: Duration = Duration::from_millis(300);

/// Longer than any idle timeout that somebody waits for.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// For a frame to be taken by its receiver.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// As many as descriptors last for, by default limits. More of them wait to be accepted.
const MAX_CONNECTIONS: usize = 512;

pub(crate) async fn run(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let listening = format!("listening on {}", listener.local_addr()?);
    let log = Log::default();
    log.line(&listening);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return Ok(());
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = log.unread.notified() => return Ok(()),
        };
        match accepted {
            Ok((stream, peer)) => {
                let log = log.clone();
                tokio::spawn(async move {
                    serve(stream, peer, log).await;
                    drop(place);
                });
            }
            // Mostly there are no descriptors left: some will be.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The standard output.
#[derive(Clone, Default)]
struct Log {
    unread: Arc<Notify>,
}

impl Log {
    fn line(&self, text: &str) {
        if output::printed(&format!("{text}\n")).is_err() {
            self.unread.notify_one();
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, log: Log) {
    // A message must not wait for the next.
    let _ = stream.set_nodelay(true);
    let mut stream = AnyStream::from(stream);
    let mut bytes = Vec::new();
    let read = timeout(HEAD_TIMEOUT, head(&mut stream, &mut bytes)).await;
    let head = match read {
        Ok(Ok(Some(head))) => head,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(rejection)) => {
            log.line(&format!("{peer} {} {rejection}", rejection.status().as_u16()));
            let (mut parts, text) = rejection.into_response().into_parts();
            return last(&mut stream, &mut parts, text, true).await;
        }
    };
    let (request, length) = head;
    let has_body = request.method != Method::HEAD;
    let rest = bytes.split_off(length);
    let report = format!("{MARK}{}", String::from_utf8_lossy(&bytes));
    let policy = HandshakePolicy::default().refuse_incomplete_handshakes(true);
    let line = format!(
        "{} {} {:?}",
        request.method,
        escaped(&request.uri.to_string()),
        request.version
    );
    match UpgradeRequest::parse(&request, &policy) {
        Ok(Some(_)) => {
            log.line(&format!("{peer} 101 {line}"));
            tunnel(stream, &request, rest, report).await;
        }
        Ok(None) => {
            log.line(&format!("{peer} 200 {line}: no upgrade is asked for"));
            let (mut parts, ()) = http::Response::new(()).into_parts();
            last(&mut stream, &mut parts, report, has_body).await;
        }
        Err(rejection) => {
            let (status, hint) = (rejection.status().as_u16(), rejection.hint());
            log.line(&format!("{peer} {status} {line}: {rejection}. {hint}"));
            let (mut parts, text) = rejection.into_response().into_parts();
            last(&mut stream, &mut parts, format!("{text}{report}"), has_body).await;
        }
    }
}

/// None where the client leaves, or says nothing.
async fn head(stream: &mut AnyStream, bytes: &mut Vec<u8>) -> Result<Option<(Parts, usize)>, Rejection> {
    let limits = HeadLimits::default();
    let mut scan = HeadScan::request();
    loop {
        // A head that comes byte by byte is parsed once.
        if scan.advance(bytes, &limits)?.is_some() {
            return Ok(match parse_request(bytes, &limits)? {
                Parsed::Complete { parts, consumed } => Some((parts, consumed)),
                Parsed::Partial => None,
            });
        }
        match stream.read_buf(bytes).await {
            Ok(count) if count > 0 => {}
            _ => return Ok(None),
        }
    }
}

/// An answer, to a HEAD without its body, and the end of the connection: what an upgrade request has brought behind its head may be no HTTP (RFC 9931).
async fn last(stream: &mut AnyStream, parts: &mut response::Parts, body: String, has_body: bool) {
    parts.headers.insert(FIELD, HeaderValue::from_static("1"));
    parts
        .headers
        .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    parts.headers.insert(CONTENT_TYPE, text);
    if !parts.headers.contains_key(CONNECTION) {
        parts
            .headers
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let mut bytes = Vec::new();
    encode_response(parts, &mut bytes);
    if has_body {
        bytes.extend_from_slice(body.as_bytes());
    }
    let written = timeout(SEND_TIMEOUT, stream.write_all(&bytes)).await;
    if written.is_ok_and(|written| written.is_ok()) {
        let _ = timeout(SEND_TIMEOUT, stream.shutdown()).await;
        // Closing with bytes unread would reset the connection, and the answer with it.
        let _ = timeout(
            Duration::from_secs(2),
            tokio::io::copy(stream, &mut tokio::io::sink()),
        )
        .await;
    }
}

async fn tunnel(mut stream: AnyStream, request: &Parts, early: Vec<u8>, report: String) {
    let key = request.headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    // The check of the handshake has found one.
    let Some(Ok(key)) = key.map(SecWebSocketKey::parse) else {
        return;
    };
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = StatusCode::SWITCHING_PROTOCOLS;
    let headers = &mut parts.headers;
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(http::header::UPGRADE, Protocol::WEBSOCKET.to_value());
    if let Ok(accept) = HeaderValue::from_str(key.accept().as_str()) {
        headers.insert(http::header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(name) = first_subprotocol(request) {
        headers.insert(http::header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    headers.insert(HeaderName::from_static(FIELD), HeaderValue::from_static("1"));
    let mut bytes = Vec::new();
    encode_response(&parts, &mut bytes);
    // In one write with the 101: a hop that loses what comes beside a head is found so.
    let frame = FrameHeader::new(OpCode::Text, report.len() as u64);
    if frame.encode(&mut bytes).is_err() {
        return;
    }
    bytes.extend_from_slice(report.as_bytes());
    let written = timeout(SEND_TIMEOUT, stream.write_all(&bytes)).await;
    if written.is_ok_and(|written| written.is_ok()) {
        let mut frames = Frames::new(stream, early, Side::Downstream, false);
        let _ = echo(&mut frames).await;
    }
}

fn first_subprotocol(request: &Parts) -> Option<HeaderValue> {
    let offered = request.headers.get(http::header::SEC_WEBSOCKET_PROTOCOL)?;
    let first = offered.to_str().ok()?.split(',').next()?.trim();
    HeaderValue::from_str(first).ok()
}

async fn echo(frames: &mut Frames) -> io::Result<()> {
    use switchover::diagnose::Ending;
    loop {
        let event = frames.next(Instant::now() + IDLE).await;
        let until = Instant::now() + SEND_TIMEOUT;
        match event {
            Event::Frame(header, payload) if header.opcode == OpCode::Ping => {
                frames.send(OpCode::Pong, &payload, until).await?;
            }
            Event::Frame(header, _) if header.opcode == OpCode::Pong => {}
            Event::Frame(header, payload) => {
                frames.forward(echoed(header, &payload), &payload, until).await?
            }
            Event::End(Ending::Closed(_)) => {
                frames
                    .close(ClosePayload::new(CloseCode::NORMAL_CLOSURE, ""), until)
                    .await;
                frames.end_writes(until).await;
                return Ok(());
            }
            Event::End(Ending::Ended) => {
                sleep(AFTER_END).await;
                frames.send(OpCode::Text, STILL_OPEN, until + AFTER_END).await?;
                frames.end_writes(until).await;
                return Ok(());
            }
            Event::Invalid(error) => {
                frames
                    .close(ClosePayload::new(error.close_code(), ""), until)
                    .await;
                frames.end_writes(until).await;
                return Ok(());
            }
            Event::End(_) | Event::Late => return Ok(()),
        }
    }
}

/// A payload that was too large to be kept comes back empty.
fn echoed(mut header: FrameHeader, payload: &[u8]) -> FrameHeader {
    header.payload_length = payload.len() as u64;
    header
}
