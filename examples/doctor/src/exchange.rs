//! One request out, one final response head in, and the beginning of its body.

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{StatusCode, response};
use switchover::diagnose::Failure;
use switchover::head::{HeadLimits, Parsed, encode_request, parse_response};
use switchover::tunnel::AnyStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration, Instant, timeout_at};

/// An error page, or the head that the origin reports, and no more.
const MAX_BODY: usize = 64 * 1024;

/// How long a body may pause that does not say its length.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    /// After a 101 what came beside it; else the beginning of the body.
    pub(crate) rest: Vec<u8>,
}

pub(crate) fn bytes_of(request: &Parts) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(request, &mut bytes);
    bytes
}

pub(crate) async fn ask(stream: &mut AnyStream, request: &[u8], limit: Duration) -> Result<Answer, Failure> {
    let deadline = Instant::now() + limit;
    let of_error = |error: std::io::Error| Failure::of_exchange(error.kind());
    let sent = timeout_at(deadline, async {
        stream.write_all(request).await?;
        stream.flush().await
    });
    // A hop may refuse before it has read all: what it says matters more than that it has not listened.
    let sent = sent.await.map_err(|_| Failure::Unanswered)?;
    let mut bytes = Vec::new();
    loop {
        if let Some(answer) = parsed(&mut bytes)? {
            return Ok(with_body(stream, answer, deadline).await);
        }
        let read = timeout_at(deadline, stream.read_buf(&mut bytes)).await;
        match read {
            Err(_) => return Err(Failure::Unanswered),
            Ok(Ok(0)) => return Err(sent.err().map_or(Failure::Closed, of_error)),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(of_error(error)),
        }
    }
}

/// The first final head, if it is whole. Interim ones are not the answer (RFC 9110, section 15.2).
fn parsed(bytes: &mut Vec<u8>) -> Result<Option<Answer>, Failure> {
    loop {
        match parse_response(bytes, &HeadLimits::default()) {
            Err(error) => return Err(Failure::of_answer(bytes, error)),
            Ok(Parsed::Partial) => return Ok(None),
            Ok(Parsed::Complete { parts, consumed }) => {
                let rest = bytes.split_off(consumed);
                if parts.status.is_informational() && parts.status != StatusCode::SWITCHING_PROTOCOLS {
                    *bytes = rest;
                    continue;
                }
                return Ok(Some(Answer { head: parts, rest }));
            }
        }
    }
}

async fn with_body(stream: &mut AnyStream, mut answer: Answer, deadline: Instant) -> Answer {
    if answer.head.status == StatusCode::SWITCHING_PROTOCOLS {
        return answer;
    }
    let length = answer.head.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
    while answer.rest.len() < length.unwrap_or(MAX_BODY).min(MAX_BODY) {
        let until = if length.is_some() {
            deadline
        } else {
            deadline.min(Instant::now() + PAUSE)
        };
        match timeout_at(until, stream.read_buf(&mut answer.rest)).await {
            Ok(Ok(count)) if count > 0 => {}
            _ => break,
        }
    }
    answer
}
