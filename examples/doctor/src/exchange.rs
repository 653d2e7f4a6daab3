//! One request out, one final response head in, and the beginning of its body. Ends by its deadline, and holds no more than
//! the limits below, whatever the peer sends.

use http::request::Parts;
use http::{Method, StatusCode};
use switchover::diagnose::{Answer, Failure};
use switchover::http1::{
    BodyLength, BodyScanner, HeadError, HeadLimits, HeadScan, Parsed, encode_request, parse_response,
};
use switchover::tls::TlsFailure;
use switchover::tunnel::AnyStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration, Instant, timeout_at};

use super::clock::is_past;
use super::network;

/// An error page, or the head that the origin reports, and no more.
const MAX_BODY: usize = 64 * 1024;

/// How long is read of a body, and how long it may pause. Its beginning says what it is.
const BODY_TIME: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(500);

/// More interim responses than any server sends to one request.
const MAX_INTERIM: usize = 100;

/// A final answer.
pub(crate) struct Received {
    pub(crate) answer: Answer,
    /// The head as it came.
    pub(crate) head: Vec<u8>,
    /// After a 101 the bytes beside it; else the beginning of the body, without its transfer coding.
    pub(crate) rest: Vec<u8>,
    /// Whether that is the whole body.
    pub(crate) whole: bool,
}

pub(crate) fn bytes_of(request: &Parts) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(request, &mut bytes);
    bytes
}

pub(crate) async fn ask(
    stream: &mut AnyStream,
    request: &[u8],
    deadline: Instant,
) -> Result<Received, Failure> {
    // A server of TLS 1.3 refuses a client, one without a certificate for instance, when the client takes the handshake for done.
    let of_error = |error: std::io::Error| match TlsFailure::of(&error) {
        Some(failure) => network::of_tls(failure),
        None => Failure::of_exchange(error.kind()),
    };
    let sent = timeout_at(deadline, async {
        stream.write_all(request).await?;
        stream.flush().await
    });
    // A hop may refuse before it has read all: what it says matters more than that it did not listen.
    let sent = sent.await.map_err(|_| Failure::AnswerTimedOut)?;
    let mut heads = Heads::default();
    loop {
        if let Some((answer, head)) = heads.next_final()? {
            return Ok(with_body(stream, answer, head, heads.bytes, deadline).await);
        }
        if is_past(deadline) {
            return Err(heads.unanswered());
        }
        match timeout_at(deadline, stream.read_buf(&mut heads.bytes)).await {
            Err(_) => return Err(heads.unanswered()),
            Ok(Ok(0)) => return Err(sent.err().map_or(heads.closed(), of_error)),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(of_error(error)),
        }
    }
}

/// The heads of an answer: interim ones, and the final one.
struct Heads {
    bytes: Vec<u8>,
    scan: HeadScan,
    interim: usize,
}

impl Default for Heads {
    fn default() -> Self {
        Heads {
            bytes: Vec::new(),
            scan: HeadScan::response(),
            interim: 0,
        }
    }
}

impl Heads {
    /// The first final head, if it is whole. Interim ones are not the answer (RFC 9110, section 15.2).
    fn next_final(&mut self) -> Result<Option<(Answer, Vec<u8>)>, Failure> {
        let limits = HeadLimits::default();
        loop {
            let of_error = |error, bytes: &[u8]| Failure::of_answer(bytes, error);
            let end = self.scan.advance(&self.bytes, &limits);
            let Some(end) = end.map_err(|error| of_error(error, &self.bytes))? else {
                return Ok(None);
            };
            let parsed = parse_response(&self.bytes[..end], &limits);
            let parsed = parsed.map_err(|error| of_error(error, &self.bytes))?;
            let Parsed::Complete { parts, .. } = parsed else {
                return Err(of_error(HeadError::StartLine, &self.bytes));
            };
            let rest = self.bytes.split_off(end);
            let head = std::mem::replace(&mut self.bytes, rest);
            self.scan = HeadScan::response();
            if !parts.status.is_informational() || parts.status == StatusCode::SWITCHING_PROTOCOLS {
                let reason = reason_phrase(&head);
                return Ok(Some((Answer::from(parts).reason(reason), head)));
            }
            self.interim += 1;
            if self.interim >= MAX_INTERIM {
                return Err(self.unanswered());
            }
        }
    }

    /// What there is in place of an answer where the connection was closed.
    fn closed(&self) -> Failure {
        match self.bytes.len() {
            0 => Failure::Closed,
            bytes => Failure::CutShort { bytes },
        }
    }

    /// What there is in place of an answer at the deadline.
    fn unanswered(&self) -> Failure {
        match (self.interim, self.bytes.len()) {
            (0, 0) => Failure::AnswerTimedOut,
            (0, bytes) => Failure::Incomplete { bytes },
            (count, _) => Failure::InterimWithoutEnd { count },
        }
    }
}

/// What follows the status code (RFC 9112, section 4).
fn reason_phrase(head: &[u8]) -> &[u8] {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default()
}

async fn with_body(
    stream: &mut AnyStream,
    answer: Answer,
    head: Vec<u8>,
    rest: Vec<u8>,
    deadline: Instant,
) -> Received {
    let parts = answer.head();
    let length = BodyLength::of_response(parts, &Method::GET).unwrap_or(BodyLength::UntilClose);
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let whole = true;
        return Received {
            answer,
            head,
            rest,
            whole,
        };
    }
    let deadline = deadline.min(Instant::now() + BODY_TIME);
    let (raw, end) = read_body(stream, rest, length, deadline).await;
    let rest = match length {
        BodyLength::Chunked => content_of(&raw),
        _ => raw,
    };
    let answer = answer.body(&rest);
    let answer = if end == BodyEnd::Late {
        answer.endless()
    } else {
        answer
    };
    Received {
        answer,
        head,
        rest,
        whole: end == BodyEnd::Reached,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    Reached,
    /// More of it is not read.
    Large,
    /// It did not end in time.
    Late,
}

async fn read_body(
    stream: &mut AnyStream,
    mut raw: Vec<u8>,
    length: BodyLength,
    deadline: Instant,
) -> (Vec<u8>, BodyEnd) {
    let mut scanner = BodyScanner::new(length);
    let mut scanned = 0;
    loop {
        // A broken coding is shown as far as it goes.
        let Ok(count) = scanner.advance(&raw[scanned..]) else {
            return (raw, BodyEnd::Reached);
        };
        scanned += count;
        if scanner.is_complete() {
            raw.truncate(scanned);
            return (raw, BodyEnd::Reached);
        }
        if raw.len() >= MAX_BODY {
            raw.truncate(MAX_BODY);
            return (raw, BodyEnd::Large);
        }
        let until = deadline.min(Instant::now() + PAUSE);
        if is_past(deadline) {
            return (raw, BodyEnd::Late);
        }
        match timeout_at(until, stream.read_buf(&mut raw)).await {
            Err(_) => return (raw, BodyEnd::Late),
            Ok(Ok(count)) if count > 0 => {}
            // The end of the connection ends a body too, whether it may or not.
            Ok(_) => return (raw, BodyEnd::Reached),
        }
    }
}

/// The content of a chunked body (RFC 9112, section 7.1), as far as it came. The scanner has checked its framing.
fn content_of(mut raw: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(end) = raw.iter().position(|byte| *byte == b'\n') {
        let size: Vec<u8> = raw[..end]
            .iter()
            .copied()
            .take_while(u8::is_ascii_hexdigit)
            .collect();
        let size = std::str::from_utf8(&size)
            .ok()
            .and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(size @ 1..) = size else { break };
        let from = end + 1;
        let to = from.saturating_add(size).min(raw.len());
        content.extend_from_slice(&raw[from..to]);
        // The line end behind the chunk.
        raw = &raw[to.saturating_add(2).min(raw.len())..];
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_and_their_content() {
        let cases: &[(&str, &str)] = &[
            ("", ""),
            ("0\r\n\r\n", ""),
            ("3\r\nno\n\r\n0\r\n\r\n", "no\n"),
            ("3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n", "abcde"),
            ("a\r\nabc", "abc"),
            ("3\r\nab", "ab"),
            ("3", ""),
            ("ffffffffffffffff\r\nabc", "abc"),
        ];
        for (raw, content) in cases {
            assert_eq!(content_of(raw.as_bytes()), content.as_bytes(), "{raw:?}");
        }
    }

    #[test]
    fn reason_phrases() {
        let cases: &[(&str, &str)] = &[
            ("HTTP/1.1 400 Bad Request\r\n\r\n", "Bad Request\r"),
            ("HTTP/1.1 400\r\n\r\n", ""),
            ("HTTP/1.1 400 \r\n\r\n", "\r"),
        ];
        for (head, reason) in cases {
            assert_eq!(reason_phrase(head.as_bytes()), reason.as_bytes(), "{head:?}");
        }
    }
}
