//! What a client may not send, by the sections of RFC 9113 and RFC 8441, and how the server answers it: a table over one good request
//! with one thing changed.
//!
//! Each case is sent whole and byte by byte.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use switchover::http1::check_request;
use switchover::http2::{ConnectStream, Http2Server, Http2ServerConfig, RequestBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, duplex, split};
use tokio::time::timeout;
use tower::service_fn;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const COMPRESSION_ERROR: u32 = 9;

/// h2 says PROTOCOL_ERROR of most frames where RFC 9113, section 4.2, has FRAME_SIZE_ERROR.
const WRONG_SIZE: &[u32] = &[FRAME_SIZE_ERROR, PROTOCOL_ERROR];
/// And of a setting where section 6.5.2 has FLOW_CONTROL_ERROR.
const BEYOND: &[u32] = &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR];
/// And where section 4.3 has COMPRESSION_ERROR.
const BROKEN_BLOCK: &[u32] = &[COMPRESSION_ERROR, PROTOCOL_ERROR];
/// It does so, too, for what follows the end of a stream, and ends the connection.
const CLOSED: &[u32] = &[STREAM_CLOSED, PROTOCOL_ERROR];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The window of a stream.
const WINDOW: usize = 65_535;

/// How the server meets what it was sent.
#[derive(Clone, Copy, Debug)]
enum Meets {
    /// With GOAWAY, for one of these reasons, and the end.
    Connection(&'static [u32]),
    /// Without an answer.
    Close,
    /// With RST_STREAM for one of these reasons on this stream, and the connection goes on. The whole connection for the same reason
    /// is as good (RFC 9113, section 5.4.2).
    Stream(u32, &'static [u32]),
    /// The same, or with a 400 (RFC 9113, section 8.1.1).
    Malformed,
    /// As a stream's error, on stream 1. The answer may have been before that.
    Late(&'static [u32]),
    /// With an answer on this stream.
    Answer(u32, u16),
    /// Not at all: the next request is answered.
    Nothing,
}
use Meets::{Answer, Close, Connection, Late, Malformed, Nothing, Stream};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field, not indexed and not compressed (RFC 7541, section 6.2.2).
fn field((name, value): (&str, &str)) -> Vec<u8> {
    let mut field = vec![0, u8::try_from(name.len()).unwrap()];
    field.extend(name.as_bytes());
    field.push(u8::try_from(value.len()).unwrap());
    field.extend(value.as_bytes());
    field
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().copied().flat_map(field).collect()
}

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "a.example"),
    (":path", "/"),
];
const POST: [(&str, &str); 4] = [(":method", "POST"), GET[1], GET[2], GET[3]];
const CONNECT: [(&str, &str); 5] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    GET[1],
    GET[2],
    GET[3],
];

/// A good request, all of it.
fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&GET))
}

/// A good request, whose content follows.
fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&POST))
}

/// A request with these fields more.
fn get_with(more: &[(&str, &str)]) -> Vec<u8> {
    head(&[&GET[..], more].concat())
}

/// A request of these fields and no other.
fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields))
}

/// A request whose content follows, with these fields more.
fn post_with(more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &block(&[&POST[..], more].concat()))
}

/// `GET` without this field.
fn without(name: &str) -> Vec<u8> {
    let fields: Vec<_> = GET.into_iter().filter(|field| field.0 != name).collect();
    head(&fields)
}

/// A CONNECT that stays open.
fn connect(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &block(fields))
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    let payload = [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

fn window_update(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

fn reset(stream: u32, reason: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &reason.to_be_bytes())
}

/// So many streams that stay open, from the first on.
fn open(count: u32) -> Vec<u8> {
    (0..count).flat_map(|index| post(2 * index + 1)).collect()
}

/// A frame of the server's.
struct Received {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

async fn receive(reader: &mut ReadHalf<DuplexStream>) -> Option<Received> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload).await.ok()?;
    Some(Received {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes(head[5..].try_into().unwrap()),
        payload,
    })
}

fn code(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

/// The status at the start of a block, which the server's encoder puts there.
fn status(block: &[u8]) -> u16 {
    // RFC 7541, appendix A; and a literal whose name is of that table, after a change of the dynamic table's size.
    let fixed = [200, 204, 206, 304, 400, 404, 500];
    let mut block = block;
    while let Some((0x20..=0x3f, rest)) = block.split_first() {
        block = rest;
    }
    match block {
        [index @ 0x88..=0x8e, ..] => fixed[usize::from(index - 0x88)],
        [0x48 | 0x08, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
        // Huffman's code of three digits, the statuses that are met here.
        [0x48 | 0x08, length, digits @ ..] => match &digits[..usize::from(length & 0x7f)] {
            [0x68, 0x00] => 400,
            [0x68, 0x2f] => 405,
            [0x6c, 0x00] | [0x6c, 0x01, 0x7f] => 500,
            other => panic!("a status that is {other:02x?}"),
        },
        other => panic!("a status that is {other:02x?}"),
    }
}

/// What came of it.
#[derive(Debug, Default)]
struct Came {
    goaway: Option<u32>,
    resets: Vec<(u32, u32)>,
    answers: Vec<(u32, u16)>,
    pongs: usize,
    ended: bool,
}

/// What the good request at the end is known by, and the PING behind it.
const LAST: u32 = 1001;
const LAST_PING: &[u8; 8] = b"the last";

async fn service(mut request: Request<RequestBody>) -> Result<Response<String>, Infallible> {
    let stream = request.extensions_mut().remove::<ConnectStream>();
    let (mut parts, body) = request.into_parts();
    let refused = |status: StatusCode| {
        let mut response = Response::new(String::new());
        *response.status_mut() = status;
        Ok(response)
    };
    if check_request(&mut parts).is_err() {
        return refused(StatusCode::BAD_REQUEST);
    }
    if let (&Method::CONNECT, Some(stream)) = (&parts.method, stream) {
        tokio::spawn(async move {
            if let Some(stream) = stream.await {
                let (mut reader, mut writer) = split(stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            }
        });
        return refused(StatusCode::OK);
    }
    match body.collect().await {
        Ok(_) => refused(StatusCode::OK),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Sends this after the preface, then a good request and a PING, and collects what comes until that is answered.
async fn sent(config: Http2ServerConfig, bytes: &[u8], piece: usize) -> Came {
    let (client, stream) = duplex(1 << 22);
    let server = Http2Server::new(config);
    let serving = tokio::spawn(async move { server.serve(stream, service_fn(service), pending()).await });
    let (mut reader, mut writer) = split(client);
    let all = [bytes, &get(LAST), &frame(PING, 0, 0, LAST_PING)].concat();
    let writing = tokio::spawn(async move {
        for piece in all.chunks(piece) {
            if writer.write_all(piece).await.is_err() {
                break;
            }
            // The server looks at what has come so far.
            tokio::task::yield_now().await;
        }
        writer
    });
    let mut came = Came::default();
    let mut is_last = (false, false);
    while is_last != (true, true) {
        let Some(frame) = receive(&mut reader).await else {
            came.ended = true;
            break;
        };
        match frame.kind {
            GOAWAY => came.goaway = Some(code(&frame.payload[4..])),
            RST_STREAM => came.resets.push((frame.stream, code(&frame.payload))),
            HEADERS if frame.stream == LAST => is_last.0 = true,
            HEADERS => came.answers.push((frame.stream, status(&frame.payload))),
            PING if frame.flags & ACK != 0 && frame.payload == LAST_PING => is_last.1 = true,
            PING if frame.flags & ACK != 0 => came.pongs += 1,
            _ => {}
        }
    }
    serving.abort();
    drop(writing.await);
    came
}

fn is_met(expected: Meets, came: &Came) -> bool {
    let goes_on = came.goaway.is_none() && !came.ended;
    let is_goaway =
        |reasons: &[u32]| came.goaway.is_some_and(|reason| reasons.contains(&reason)) && came.ended;
    match expected {
        Connection(reasons) => is_goaway(reasons),
        Close => came.ended && came.answers.is_empty(),
        Stream(stream, reasons) => {
            let is_reset = |(id, reason): &(u32, u32)| *id == stream && reasons.contains(reason);
            let is_answered = came
                .answers
                .iter()
                .any(|(id, status)| *id == stream && *status < 400);
            !is_answered && (is_goaway(reasons) || goes_on && came.resets.iter().any(is_reset))
        }
        Malformed => is_met(Stream(1, &[PROTOCOL_ERROR]), came) || came.answers == [(1, 400)],
        Late(reasons) => {
            let is_reset = |(id, reason): &(u32, u32)| *id == 1 && reasons.contains(reason);
            is_goaway(reasons) || goes_on && came.resets.iter().any(is_reset)
        }
        Answer(stream, status) => {
            let resets: Vec<_> = came.resets.iter().filter(|reset| reset.1 != NO_ERROR).collect();
            goes_on && resets.is_empty() && came.answers == [(stream, status)]
        }
        Nothing => goes_on && came.resets.is_empty() && came.answers.is_empty(),
    }
}

type Case = (&'static str, Vec<u8>, Meets);

/// Cases as rustfmt leaves them: what is sent, the bytes, how that is met.
macro_rules! table {
    { $($name:literal => $bytes:expr => $meets:expr;)* } => { vec![$(($name, $bytes.to_vec(), $meets)),*] };
}

/// Every case of these is met as it should be, whole and byte by byte.
async fn hold(section: &str, cases: Vec<Case>) {
    hold_with(Http2ServerConfig::default(), section, cases).await;
}

async fn hold_with(config: Http2ServerConfig, section: &str, cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for (name, bytes, expected) in cases {
        let all = [PREFACE, &frame(SETTINGS, 0, 0, b""), &bytes].concat();
        let pieces: &[usize] = if all.len() < 4096 {
            &[usize::MAX, 1]
        } else {
            &[usize::MAX]
        };
        for piece in pieces {
            let came = timeout(Duration::from_secs(3600), sent(config.clone(), &all, *piece)).await;
            let came = came.unwrap_or_else(|_| panic!("{section}, {name}: no answer"));
            if !is_met(expected, &came) {
                wrong.push(format!("{name}: {expected:?}, not {came:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{section}:\n{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn rfc_9113_3_4_preface() {
    for (name, bytes) in [
        ("HTTP/1.1", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("a preface that is not one", [&PREFACE[..20], b"XX\r\n"].concat()),
    ] {
        let came = timeout(
            Duration::from_secs(3600),
            sent(Http2ServerConfig::default(), &bytes, usize::MAX),
        )
        .await;
        let came = came.unwrap_or_else(|_| panic!("{name}: no end"));
        assert!(is_met(Close, &came), "{name}: {came:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rfc_9113_4_frames() {
    hold("4.1", table! {
        "a type that is unknown" => [frame(0x16, 0, 0, b"12345678"), get(1)].concat() => Answer(1, 200);
        "the same on a stream" => [post(1), frame(0x16, 0, 1, b""), frame(DATA, END_STREAM, 1, b"")].concat() => Answer(1, 200);
        "flags that are undefined" => [frame(PING, 0x16, 0, b"12345678"), get(1)].concat() => Answer(1, 200);
        "the reserved bit" => frame(HEADERS, END_STREAM | END_HEADERS, 0x8000_0001, &block(&GET)) => Answer(1, 200);
    })
    .await;
    let long = vec![b'x'; 16_385];
    hold("4.2", table! {
        "DATA of 16,384 bytes" => [post(1), frame(DATA, END_STREAM, 1, &long[1..])].concat() => Answer(1, 200);
        "DATA of 16,385 bytes" => [post(1), frame(DATA, END_STREAM, 1, &long)].concat() => Stream(1, &[FRAME_SIZE_ERROR]);
        "HEADERS of 16,385 bytes" => frame(HEADERS, END_STREAM | END_HEADERS, 1, &long) => Connection(WRONG_SIZE);
        "SETTINGS of 16,386 bytes" => frame(SETTINGS, 0, 0, &vec![0; 16_386]) => Connection(WRONG_SIZE);
    })
    .await;
    let split = |flags: u8, then: Vec<u8>| [frame(HEADERS, flags, 1, &block(&GET)[..5]), then].concat();
    hold("4.3", table! {
        "an index beyond the tables" => frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff, 0xff, 0x7f]) => Connection(BROKEN_BLOCK);
        "index 0" => frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x80]) => Connection(BROKEN_BLOCK);
        "a table of 4,097 bytes" => frame(HEADERS, END_STREAM | END_HEADERS, 1, &[&[0x3f, 0xe2, 0x1f][..], &block(&GET)].concat()) => Connection(BROKEN_BLOCK);
        "Huffman's code with EOS" => frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0, 0x84, 0xff, 0xff, 0xff, 0xff, 1, b'x']) => Connection(BROKEN_BLOCK);
        "a PRIORITY within a block" => split(END_STREAM, frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 1])) => Connection(&[PROTOCOL_ERROR]);
        "another stream's HEADERS within a block" => split(END_STREAM, get(3)) => Connection(&[PROTOCOL_ERROR]);
        "an unknown frame within a block" => split(END_STREAM, frame(0x16, 0, 1, b"")) => Connection(&[PROTOCOL_ERROR]);
        "a DATA frame within a block" => split(0, frame(DATA, END_STREAM, 1, b"")) => Connection(&[PROTOCOL_ERROR]);
        "a CONTINUATION of another stream" => split(END_STREAM, frame(CONTINUATION, END_HEADERS, 3, &block(&GET)[5..])) => Connection(&[PROTOCOL_ERROR]);
        "the rest of the block" => split(END_STREAM, frame(CONTINUATION, END_HEADERS, 1, &block(&GET)[5..])) => Answer(1, 200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rfc_9113_5_streams() {
    let ended = || get(1);
    let both_reset = || [post(1), reset(1, CANCEL)].concat();
    hold("5.1", table! {
        "idle: DATA" => frame(DATA, END_STREAM, 1, b"x") => Connection(&[PROTOCOL_ERROR]);
        "idle: RST_STREAM" => reset(1, CANCEL) => Connection(&[PROTOCOL_ERROR]);
        "idle: WINDOW_UPDATE" => window_update(1, 100) => Connection(&[PROTOCOL_ERROR]);
        "idle: CONTINUATION" => frame(CONTINUATION, END_HEADERS, 1, &block(&GET)) => Connection(&[PROTOCOL_ERROR]);
        "idle: PRIORITY" => [frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]), get(1)].concat() => Answer(1, 200);
        "half-closed: DATA" => [post(1), frame(DATA, END_STREAM, 1, b""), frame(DATA, 0, 1, b"x")].concat() => Late(CLOSED);
        "half-closed: HEADERS" => [post(1), frame(DATA, END_STREAM, 1, b""), get(1)].concat() => Late(CLOSED);
        "half-closed: WINDOW_UPDATE" => [ended(), window_update(1, 100)].concat() => Answer(1, 200);
        "reset by the client: DATA" => [both_reset(), frame(DATA, 0, 1, b"x")].concat() => Stream(1, &[STREAM_CLOSED]);
        "reset by the client: HEADERS" => [both_reset(), get(1)].concat() => Stream(1, &[STREAM_CLOSED, PROTOCOL_ERROR]);
        "reset by the client: WINDOW_UPDATE" => [both_reset(), window_update(1, 100)].concat() => Nothing;
        "reset by the client: RST_STREAM" => [both_reset(), reset(1, CANCEL)].concat() => Nothing;
    })
    .await;
    hold(
        "5.1.1",
        table! {
            "an even stream" => get(2) => Connection(&[PROTOCOL_ERROR]);
            "a stream that is below the last" => [get(5), get(3)].concat() => Connection(&[PROTOCOL_ERROR]);
        },
    )
    .await;
    let config = Http2ServerConfig::default().max_streams(10);
    hold_with(
        config,
        "5.1.2",
        vec![(
            "one stream too many",
            [open(11), reset(1, CANCEL)].concat(),
            Stream(21, &[REFUSED_STREAM, PROTOCOL_ERROR]),
        )],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn rfc_9113_6_frame_definitions() {
    let padded = |kind: u8, flags: u8, pad: u8, rest: &[u8]| {
        frame(kind, flags | PADDED, 1, &[&[pad][..], rest].concat())
    };
    let zeros = |count: usize| vec![0; count];
    hold("6.1 DATA", table! {
        "on stream 0" => [post(1), frame(DATA, 0, 0, b"x")].concat() => Connection(&[PROTOCOL_ERROR]);
        "with padding" => [post(1), padded(DATA, END_STREAM, 5, b"x\0\0\0\0\0")].concat() => Answer(1, 200);
        "with padding alone" => [post(1), padded(DATA, END_STREAM, 5, &zeros(5))].concat() => Answer(1, 200);
        "with more padding than there is" => [post(1), padded(DATA, END_STREAM, 6, &zeros(5))].concat() => Connection(&[PROTOCOL_ERROR]);
    })
    .await;
    hold("6.2 HEADERS", table! {
        "on stream 0" => frame(HEADERS, END_STREAM | END_HEADERS, 0, &block(&GET)) => Connection(&[PROTOCOL_ERROR]);
        "with padding" => padded(HEADERS, END_STREAM | END_HEADERS, 3, &[block(&GET), zeros(3)].concat()) => Answer(1, 200);
        "with more padding than there is" => padded(HEADERS, END_STREAM | END_HEADERS, 255, &block(&GET)) => Connection(&[PROTOCOL_ERROR]);
        "with a priority" => frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, &[&[0, 0, 0, 3, 7][..], &block(&GET)].concat()) => Answer(1, 200);
        "with a priority that is cut" => frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, &[0, 0, 0]) => Connection(WRONG_SIZE);
    })
    .await;
    hold("6.3 PRIORITY", table! {
        "on stream 0" => frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 1]) => Connection(&[PROTOCOL_ERROR]);
        "of 4 bytes" => [post(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 3])].concat() => Stream(1, &[FRAME_SIZE_ERROR, PROTOCOL_ERROR]);
    })
    .await;
    hold(
        "6.4 RST_STREAM",
        table! {
            "on stream 0" => reset(0, CANCEL) => Connection(&[PROTOCOL_ERROR]);
            "of 3 bytes" => [post(1), frame(RST_STREAM, 0, 1, &zeros(3))].concat() => Connection(WRONG_SIZE);
            "with a code that is unknown" => [post(1), reset(1, 0xff)].concat() => Nothing;
        },
    )
    .await;
    hold("6.5 SETTINGS", table! {
        "on a stream" => frame(SETTINGS, 0, 1, b"") => Connection(&[PROTOCOL_ERROR]);
        "acknowledged with content" => frame(SETTINGS, ACK, 0, &zeros(6)) => Connection(WRONG_SIZE);
        "of 5 bytes" => frame(SETTINGS, 0, 0, &zeros(5)) => Connection(WRONG_SIZE);
        "push 2" => setting(2, 2) => Connection(&[PROTOCOL_ERROR]);
        "a window of 2^31" => setting(4, 1 << 31) => Connection(BEYOND);
        "frames of 16,383 bytes" => setting(5, 16_383) => Connection(&[PROTOCOL_ERROR]);
        "frames of 2^24 bytes" => setting(5, 1 << 24) => Connection(&[PROTOCOL_ERROR]);
        "one that is unknown" => [setting(0xff, 1), get(1)].concat() => Answer(1, 200);
        "the same one twice" => [frame(SETTINGS, 0, 0, &[setting(4, 100)[9..].to_vec(), setting(4, 1)[9..].to_vec()].concat()), get(1)].concat() => Answer(1, 200);
        // RFC 8441, section 3: a server ignores what a client says about it, unless it is no value.
        "the extended CONNECT of a client" => [setting(8, 1), get(1)].concat() => Answer(1, 200);
        "the extended CONNECT of a client, 2" => setting(8, 2) => Connection(&[PROTOCOL_ERROR]);
    })
    .await;
    hold("6.6 PUSH_PROMISE", table! {
        "of a client" => [post(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &block(&GET)].concat())].concat() => Connection(&[PROTOCOL_ERROR]);
    })
    .await;
    hold(
        "6.7 PING",
        table! {
            "on a stream" => frame(PING, 0, 1, b"12345678") => Connection(&[PROTOCOL_ERROR]);
            "of 6 bytes" => frame(PING, 0, 0, b"123456") => Connection(WRONG_SIZE);
            "acknowledged that was not sent" => frame(PING, ACK, 0, b"12345678") => Nothing;
        },
    )
    .await;
    hold(
        "6.8 GOAWAY",
        table! {
            "on a stream" => frame(GOAWAY, 0, 1, &zeros(8)) => Connection(&[PROTOCOL_ERROR]);
            "of 7 bytes" => frame(GOAWAY, 0, 0, &zeros(7)) => Connection(WRONG_SIZE);
        },
    )
    .await;
    let most = i32::MAX as u32;
    hold("6.9 WINDOW_UPDATE", table! {
        "by 0, of the connection" => window_update(0, 0) => Connection(&[PROTOCOL_ERROR]);
        "by 0, of a stream" => [post(1), window_update(1, 0)].concat() => Stream(1, &[PROTOCOL_ERROR]);
        "of 3 bytes" => frame(WINDOW_UPDATE, 0, 0, &zeros(3)) => Connection(WRONG_SIZE);
        "of 5 bytes" => frame(WINDOW_UPDATE, 0, 0, &zeros(5)) => Connection(WRONG_SIZE);
        "beyond 2^31 - 1, of the connection" => [window_update(0, most), window_update(0, most)].concat() => Connection(&[FLOW_CONTROL_ERROR]);
        "beyond 2^31 - 1, of a stream" => [post(1), window_update(1, most), window_update(1, most)].concat() => Stream(1, &[FLOW_CONTROL_ERROR]);
        "beyond 2^31 - 1, by SETTINGS" => [post(1), window_update(1, most - WINDOW as u32), setting(4, most)].concat() => Connection(&[FLOW_CONTROL_ERROR]);
    })
    .await;
    let piece = vec![b'x'; 16_000];
    let beyond: Vec<u8> = frame(DATA, 0, 1, &piece).repeat(5);
    // Nobody reads this one.
    let unread = connect(&CONNECT[..]);
    hold(
        "6.9.1",
        vec![(
            "DATA beyond the window of its stream",
            [unread, beyond].concat(),
            Stream(1, &[FLOW_CONTROL_ERROR]),
        )],
    )
    .await;
    hold("6.10 CONTINUATION", table! {
        "on stream 0" => [frame(HEADERS, END_STREAM, 1, &block(&GET)), frame(CONTINUATION, END_HEADERS, 0, b"")].concat() => Connection(&[PROTOCOL_ERROR]);
        "after a whole head" => [get(1), frame(CONTINUATION, END_HEADERS, 1, b"")].concat() => Connection(&[PROTOCOL_ERROR]);
        "after DATA" => [post(1), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, b"")].concat() => Connection(&[PROTOCOL_ERROR]);
        "some, in order" => [frame(HEADERS, END_STREAM, 1, &block(&GET)), frame(CONTINUATION, 0, 1, &field(("a", "b"))), frame(CONTINUATION, END_HEADERS, 1, &field(("c", "d")))].concat() => Answer(1, 200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rfc_9113_8_1_messages() {
    let trailers =
        |fields: &[(&str, &str)], flags: u8| frame(HEADERS, END_HEADERS | flags, 1, &block(fields));
    let content = |bytes: &[u8], flags: u8| frame(DATA, flags, 1, bytes);
    hold("8.1", table! {
        "trailers" => [post(1), content(b"x", 0), trailers(&[("a", "b")], END_STREAM)].concat() => Answer(1, 200);
        "a second head that is no end" => [post(1), content(b"x", 0), trailers(&[("a", "b")], 0)].concat() => Malformed;
        "DATA behind trailers" => [post(1), trailers(&[("a", "b")], END_STREAM), content(b"x", END_STREAM)].concat() => Late(CLOSED);
        "DATA behind the end" => [post(1), content(b"x", END_STREAM), content(b"x", END_STREAM)].concat() => Late(CLOSED);
    })
    .await;
    let length = |length| post_with(&[("content-length", length)]);
    hold("8.1.1", table! {
        "a length that is right" => [length("3"), content(b"abc", END_STREAM)].concat() => Answer(1, 200);
        "a length that is right, in pieces" => [length("3"), content(b"a", 0), content(b"bc", END_STREAM)].concat() => Answer(1, 200);
        "a length that is right, with trailers" => [length("3"), content(b"abc", 0), trailers(&[("a", "b")], END_STREAM)].concat() => Answer(1, 200);
        "too little" => [length("3"), content(b"ab", END_STREAM)].concat() => Malformed;
        "too much" => [length("3"), content(b"abcd", END_STREAM)].concat() => Malformed;
        "too much, in pieces" => [length("3"), content(b"abc", 0), content(b"d", END_STREAM)].concat() => Malformed;
        "too little, with trailers" => [length("3"), content(b"ab", 0), trailers(&[("a", "b")], END_STREAM)].concat() => Malformed;
        "none at all" => get_with(&[("content-length", "3")]) => Malformed;
        "0, and none" => get_with(&[("content-length", "0")]) => Answer(1, 200);
    })
    .await;
    hold("8.1.1, values of Content-Length", table! {
        "no number" => [length("three"), content(b"abc", END_STREAM)].concat() => Stream(1, &[PROTOCOL_ERROR]);
        "with a sign" => [length("+3"), content(b"abc", END_STREAM)].concat() => Stream(1, &[PROTOCOL_ERROR]);
        "two, equal" => [post_with(&[("content-length", "3"), ("content-length", "3")]), content(b"abc", END_STREAM)].concat() => Malformed;
        "two, different" => [post_with(&[("content-length", "3"), ("content-length", "4")]), content(b"abc", END_STREAM)].concat() => Malformed;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rfc_9113_8_2_fields() {
    let mut cases = vec![(
        "a name and a value",
        get_with(&[("x-name", "a value")]),
        Answer(1, 200),
    )];
    for (name, field) in [
        ("a name in capitals", ("X-Name", "v")),
        ("a name with a space", ("x name", "v")),
        ("a name with a colon", ("x:name", "v")),
        ("a name with a control byte", ("x\x01name", "v")),
        ("no name", ("", "v")),
        ("a value with a NUL", ("x-name", "a\0b")),
        ("a value with a CR", ("x-name", "a\rb")),
        ("a value with an LF", ("x-name", "a\nb")),
        ("a value with DEL", ("x-name", "a\x7fb")),
    ] {
        cases.push((name, get_with(&[field]), Malformed));
    }
    hold("8.2.1", cases).await;
    // RFC 9113, section 8.2.1: "A field value MUST NOT start or end with an ASCII whitespace character."
    hold(
        "8.2.1, white space",
        table! {
            "before a value" => get_with(&[("x-name", " v")]) => Answer(1, 400);
            "behind a value" => get_with(&[("x-name", "v\t")]) => Answer(1, 400);
        },
    )
    .await;
    let mut cases = vec![("TE: trailers", get_with(&[("te", "trailers")]), Answer(1, 200))];
    for (name, field) in [
        ("Connection", ("connection", "keep-alive")),
        ("Keep-Alive", ("keep-alive", "timeout=5")),
        ("Proxy-Connection", ("proxy-connection", "keep-alive")),
        ("Transfer-Encoding", ("transfer-encoding", "chunked")),
        ("Upgrade", ("upgrade", "websocket")),
        ("TE: gzip", ("te", "gzip")),
        ("TE: trailers, gzip", ("te", "trailers, gzip")),
    ] {
        cases.push((name, get_with(&[field]), Malformed));
    }
    hold("8.2.2", cases).await;
}

#[tokio::test(start_paused = true)]
async fn rfc_9113_8_3_pseudo_header_fields() {
    let replaced = |name: &str, value: &'static str| {
        let fields: Vec<_> = GET
            .into_iter()
            .map(|field| if field.0 == name { (field.0, value) } else { field })
            .collect();
        head(&fields)
    };
    hold("8.3", table! {
        "one that is unknown" => head(&[&GET[..], &[(":test", "v")]].concat()) => Malformed;
        "one of a response" => head(&[&GET[..], &[(":status", "200")]].concat()) => Malformed;
        "one behind a field" => head(&[GET[0], GET[1], GET[2], ("x", "y"), GET[3]]) => Malformed;
        "no :method" => without(":method") => Malformed;
        "no :scheme" => without(":scheme") => Malformed;
        "no :path" => without(":path") => Malformed;
        "no :authority, but Host" => head(&[GET[0], GET[1], GET[3], ("host", "a.example")]) => Answer(1, 200);
        "no :path and no :authority, but Host" => head(&[GET[0], GET[1], ("host", "a.example")]) => Answer(1, 400);
        "neither :authority nor Host" => without(":authority") => Answer(1, 400);
        "an empty :path" => replaced(":path", "") => Malformed;
        "an empty :scheme" => replaced(":scheme", "") => Malformed;
        "an empty :method" => replaced(":method", "") => Malformed;
        ":method twice" => head(&[&[GET[0]], &GET[..]].concat()) => Malformed;
        ":scheme twice" => head(&[&[GET[1]], &GET[..]].concat()) => Malformed;
        ":authority twice" => head(&[&[GET[2]], &GET[..]].concat()) => Malformed;
        ":path twice" => head(&[&[GET[3]], &GET[..]].concat()) => Malformed;
        ":authority with a user" => replaced(":authority", "user@a.example") => Answer(1, 400);
        ":authority with a path" => replaced(":authority", "a.example/b") => Malformed;
        ":authority and another Host" => get_with(&[("host", "b.example")]) => Answer(1, 400);
        ":path without its slash" => replaced(":path", "b") => Malformed;
        ":path with a space" => replaced(":path", "/a b") => Malformed;
        ":path * of GET" => replaced(":path", "*") => Answer(1, 400);
        ":method with a space" => replaced(":method", "GET /x") => Malformed;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rfc_9113_8_5_and_rfc_8441_connect() {
    let [method, protocol, scheme, authority, path] = CONNECT;
    hold("RFC 8441, 4", table! {
        "an extended CONNECT" => connect(&CONNECT) => Answer(1, 200);
        ":protocol with GET" => head(&[GET[0], protocol, scheme, authority, path]) => Malformed;
        ":protocol twice" => connect(&[method, protocol, protocol, scheme, authority, path]) => Malformed;
        ":protocol behind a field" => connect(&[method, scheme, authority, path, ("x", "y"), protocol]) => Malformed;
        "no :scheme" => connect(&[method, protocol, authority, path]) => Malformed;
        "no :path" => connect(&[method, protocol, scheme, authority]) => Malformed;
        "neither" => connect(&[method, protocol, authority]) => Malformed;
        "no :authority" => connect(&[method, protocol, scheme, path]) => Answer(1, 400);
    })
    .await;
    hold("8.5", table! {
        "CONNECT with :path" => connect(&[method, scheme, authority, path]) => Malformed;
        "CONNECT with :scheme" => connect(&[method, scheme, authority]) => Malformed;
        "CONNECT without :authority" => connect(&[method]) => Malformed;
        "trailers of a tunnel" => [connect(&CONNECT), frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[("a", "b")]))].concat() => Late(&[PROTOCOL_ERROR]);
    })
    .await;
    let config = Http2ServerConfig::default().extended_connect(false);
    hold_with(
        config,
        "RFC 8441, 3",
        vec![(
            "an extended CONNECT that was not offered",
            connect(&CONNECT),
            Malformed,
        )],
    )
    .await;
}

/// What h2 lets pass, and this crate does not see.
#[tokio::test(start_paused = true)]
async fn what_is_let_pass() {
    let trailers = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &block(&[(":method", "GET"), ("a", "b")]),
    );
    hold("8.1", table! {
        "a pseudo-header field in trailers, which is dropped" => [post(1), trailers].concat() => Answer(1, 200);
    })
    .await;
    let bytes = [PREFACE, &get(1), &frame(SETTINGS, 0, 0, b"")].concat();
    let came = sent(Http2ServerConfig::default(), &bytes, usize::MAX);
    let came = timeout(Duration::from_secs(3600), came).await.expect("an answer");
    assert!(
        is_met(Answer(1, 200), &came),
        "a request before SETTINGS: {came:?}"
    );
}
