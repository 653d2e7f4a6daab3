//! A body that goes on as it is framed, and which fields of its trailer section go with it.
//!
//! Chunks pass as they came. The trailer section, which the scanner bounds, waits until it is whole.

use std::sync::Arc;

use crate::header::trailer::{self, Ending};
use crate::http1::{BodyLength, BodyScanner, ChunkedError, encode_fields, trailer_fields};

/// A body in bytes that arrive in pieces.
pub(super) struct RelayedBody {
    scanner: BodyScanner,
    /// What comes without framing goes on in chunks.
    is_chunked_here: bool,
    /// The trailer section so far.
    trailers: Vec<u8>,
    /// What ends here of it, besides what ends in any.
    ending: Option<Arc<Ending>>,
}

impl RelayedBody {
    pub(super) fn new(length: BodyLength, ending: Option<Arc<Ending>>) -> Self {
        RelayedBody {
            scanner: BodyScanner::new(length),
            is_chunked_here: false,
            trailers: Vec::new(),
            ending,
        }
    }

    /// In chunks, where its end would else be that of the connection.
    pub(super) fn never_until_close(mut self) -> Self {
        self.is_chunked_here = self.scanner.may_end_here() && !self.scanner.is_complete();
        self
    }

    /// Whether the chunks are made here.
    pub(super) fn is_chunked_here(&self) -> bool {
        self.is_chunked_here
    }

    /// The sender has ended. Adds to `out` what says so. False where the body is not complete.
    pub(super) fn end(&self, out: &mut Vec<u8>) -> bool {
        if self.scanner.may_end_here() && self.is_chunked_here {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        self.scanner.may_end_here()
    }

    /// Looks at the next bytes, adds to `out` what goes on, and returns how many of them belong to the body.
    ///
    /// # Errors
    ///
    /// The rule of the chunked coding that the bytes break. What came before is in `out`.
    pub(super) fn advance(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, ChunkedError> {
        if self.is_chunked_here {
            if !bytes.is_empty() {
                out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            return Ok(bytes.len());
        }
        let was_complete = self.scanner.is_complete();
        let mut before = 0;
        loop {
            let count = self.scanner.advance_to_trailers(&bytes[before..])?;
            out.extend_from_slice(&bytes[before..before + count]);
            let padding = self.scanner.skip_padding(&bytes[before + count..])?;
            before += count + padding;
            if padding == 0 {
                break;
            }
        }
        if !self.scanner.is_in_trailers() || was_complete {
            return Ok(before);
        }
        let within = self.scanner.advance(&bytes[before..])?;
        self.trailers.extend_from_slice(&bytes[before..before + within]);
        if self.scanner.is_complete() {
            let mut fields = trailer_fields(&std::mem::take(&mut self.trailers))?;
            match &self.ending {
                Some(ending) => ending.strip(&mut fields),
                None => trailer::strip(&mut fields),
            }
            encode_fields(&fields, out);
        }
        Ok(before + within)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.scanner.is_complete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKS: &str = "5;a=b\r\nhello\r\n0\r\n";

    /// What goes on of a body, whole, byte by byte, and with a tail.
    fn relayed(trailers: &str) -> Result<String, ChunkedError> {
        let body = format!("{CHUNKS}{trailers}\r\n");
        let mut whole = Vec::new();
        let mut relay = RelayedBody::new(BodyLength::Chunked, None);
        let taken = relay.advance(body.as_bytes(), &mut whole);

        let mut single = Vec::new();
        let mut relay = RelayedBody::new(BodyLength::Chunked, None);
        let by_byte: Result<usize, ChunkedError> = body
            .as_bytes()
            .iter()
            .map(|byte| relay.advance(std::slice::from_ref(byte), &mut single))
            .sum();
        assert_eq!(taken, by_byte, "{body:?}");
        let taken = taken?;
        assert_eq!((taken, relay.is_complete()), (body.len(), true), "{body:?}");
        assert_eq!(relay.advance(b"tail", &mut single), Ok(0), "{body:?}");
        assert_eq!(whole, single, "{body:?}");

        let mut tailed = Vec::new();
        let mut relay = RelayedBody::new(BodyLength::Chunked, None);
        let with_tail = format!("{body}GET / HTTP/1.1\r\n");
        assert_eq!(relay.advance(with_tail.as_bytes(), &mut tailed), Ok(taken));
        assert_eq!(whole, tailed);
        Ok(String::from_utf8(whole).unwrap())
    }

    #[test]
    fn trailer_fields_that_go_on_and_that_do_not() {
        for (trailers, kept) in [
            ("", ""),
            ("X-Sum: 7\r\n", "X-Sum: 7\r\n"),
            ("X-Sum:7\r\nGrpc-Status: 0\r\n", "X-Sum: 7\r\nGrpc-Status: 0\r\n"),
            ("X-A: 1\r\nX-A: 2\r\n", "X-A: 1\r\nX-A: 2\r\n"),
            ("X-Empty:\r\n", "X-Empty: \r\n"),
            ("Content-Length: 5\r\n", ""),
            ("Transfer-Encoding: chunked\r\nX-Sum: 7\r\n", "X-Sum: 7\r\n"),
            ("X-Sum: 7\r\nHost: evil\r\nconnection: x-sum\r\n", "X-Sum: 7\r\n"),
            (
                "Upgrade: h2c\r\nHTTP2-Settings: x\r\nKeep-Alive: x\r\nTE: x\r\nTrailer: x\r\n",
                "",
            ),
            (
                "Authorization: x\r\nCookie: x\r\nSet-Cookie: x\r\nWWW-Authenticate: x\r\n",
                "",
            ),
            (
                "X-Forwarded-For: x\r\nForwarded: for=x\r\nX_Real_IP: x\r\nVia: x\r\n",
                "",
            ),
            (
                "Content-Type: x\r\nContent-Encoding: x\r\nContent-Range: x\r\n",
                "",
            ),
            (
                "If-Match: x\r\nSec-WebSocket-Accept: x\r\nCache-Control: x\r\nLocation: x\r\n",
                "",
            ),
            ("Proxy-Authenticate: x\r\nProxy-Authorization: x\r\n", ""),
        ] {
            assert_eq!(
                relayed(trailers),
                Ok(format!("{CHUNKS}{kept}\r\n")),
                "{trailers:?}"
            );
        }
    }

    #[test]
    fn trailer_sections_that_break_the_body_off() {
        let many = |count| "X: 1\r\n".repeat(count);
        for (trailers, error) in [
            ("Bad Name: 1\r\n".to_owned(), ChunkedError::TrailerName),
            (" folded\r\n".to_owned(), ChunkedError::TrailerName),
            ("X : 1\r\n".to_owned(), ChunkedError::TrailerName),
            ("X: \0\r\n".to_owned(), ChunkedError::ControlByte),
            ("X: 1\n".to_owned(), ChunkedError::LineEnd),
            (format!("X: {}\r\n", "y".repeat(16 * 1024)), ChunkedError::TooLong),
            (many(129), ChunkedError::TooManyTrailers),
        ] {
            assert_eq!(relayed(&trailers), Err(error), "{trailers:.40}");
        }
        assert!(relayed(&many(128)).is_ok());
    }

    #[test]
    fn other_framings_pass_as_they_are() {
        for (length, body, taken) in [
            (BodyLength::Exactly(5), "hello", 5),
            (BodyLength::Exactly(3), "hello", 3),
            (BodyLength::UntilClose, "0\r\nHost: a\r\n\r\n", 14),
            (BodyLength::None, "hello", 0),
        ] {
            let mut out = Vec::new();
            let mut relay = RelayedBody::new(length, None);
            assert_eq!(relay.advance(body.as_bytes(), &mut out), Ok(taken), "{length:?}");
            assert_eq!(out, &body.as_bytes()[..taken]);
        }
    }
}
