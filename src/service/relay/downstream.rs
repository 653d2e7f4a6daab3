//! hyper's server gets exactly one request message of a connection, which the crate's parser has accepted, and then the end of the
//! stream. What follows the message stays here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http1::{BodyLength, BodyScanner};
use crate::service::config::RelayConfig;
use crate::service::interim::Exchange;
use crate::service::stall::Stall;
use crate::tunnel::Rewind;

/// How much is read at a time.
const READ_SIZE: usize = 16 * 1024;
/// How much a client may send ahead of the response to its request. Beyond that it is not read: back-pressure.
const AHEAD_LIMIT: usize = 64 * 1024;

/// The version that the proxy speaks, also to those who speak an older one (RFC 9110, section 2.5). hyper answers
/// HTTP/1.0 with HTTP/1.0.
const VERSION: &[u8] = b"HTTP/1.1";

/// A client's stream as hyper's server sees it: one message.
#[derive(Debug)]
pub(super) struct OneRequest<S> {
    stream: S,
    /// Read and not handed to hyper: of this message until that is complete, of the next after.
    buffer: BytesMut,
    head_left: usize,
    body: BodyScanner,
    exchange: Arc<Exchange>,
    stage: Stage,
    reader: Option<Waker>,
    client_ended: bool,
    /// The client may have ended its write side, and is there nevertheless.
    may_half_close: bool,
    /// hyper has written nothing since it last flushed.
    is_flushed: bool,
    interim: BytesMut,
    sent: Sent,
    /// What is left to be written of the version that starts the response, where it differs from hyper's.
    version: &'static [u8],
    read_stall: Stall,
    write_stall: Stall,
}

/// How many bytes the client's stream has taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) total: u64,
    /// Behind the head; none while that is not out.
    pub(super) body: Option<u64>,
    head: SentHead,
}

/// How much of the head has been seen on its way out.
#[derive(Clone, Copy, Debug, Default)]
struct SentHead {
    length: usize,
    /// Whether its status differs from that of hyper's own answer to a client that expects one.
    is_final: bool,
    /// Of the empty line at its end.
    empty_line: u8,
}

/// How far the exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The response is not out yet.
    Answering,
    /// The response is out, and hyper may have the end of the stream.
    Answered,
    /// hyper has asked for another request and was answered that there is none.
    Ended,
}

impl SentHead {
    /// How many of these bytes belong to it, if it ends in them. A 100 in front of it belongs to it.
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        const STATUS: usize = VERSION.len() + 1;
        for (at, byte) in bytes.iter().enumerate() {
            let of_continue = self.length.checked_sub(STATUS).and_then(|at| b"100".get(at));
            self.is_final |= of_continue.is_some_and(|expected| expected != byte);
            self.length += 1;
            self.empty_line = match (self.empty_line, byte) {
                (0 | 2, b'\r') | (1 | 3, b'\n') => self.empty_line + 1,
                (_, b'\r') => 1,
                _ => 0,
            };
            if self.empty_line == 4 {
                if self.is_final {
                    return Some(at + 1);
                }
                *self = SentHead::default();
            }
        }
        None
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> OneRequest<S> {
    pub(super) fn new(
        stream: Rewind<S>,
        head_length: usize,
        body: BodyLength,
        exchange: Arc<Exchange>,
        config: &RelayConfig,
    ) -> Self {
        let (stream, front) = stream.into_parts();
        OneRequest {
            stream,
            buffer: BytesMut::from(front),
            head_left: head_length,
            body: BodyScanner::new(body),
            exchange,
            stage: Stage::Answering,
            reader: None,
            client_ended: false,
            may_half_close: config.early_half_close,
            is_flushed: true,
            interim: BytesMut::new(),
            sent: Sent::default(),
            version: VERSION,
            read_stall: Stall::new(config.request_body_limit()),
            write_stall: Stall::new(config.send_limit()),
        }
    }

    /// What the client's stream has taken so far.
    pub(super) fn sent(&self) -> Sent {
        self.sent
    }

    /// The stream with what follows the message, and whether the connection can go on: the message was read whole,
    /// and hyper has kept the connection alive for another.
    pub(super) fn into_rest(self) -> (Rewind<S>, bool) {
        let goes_on = self.stage == Stage::Ended && !(self.client_ended && self.buffer.is_empty());
        (Rewind::new(self.stream, self.buffer.freeze()), goes_on)
    }

    fn message_is_read(&self) -> bool {
        self.head_left == 0 && self.body.is_complete()
    }

    /// Hands out buffered bytes of the message.
    fn hand_out(&mut self, into: &mut ReadBuf<'_>) -> io::Result<()> {
        let available = self.buffer.len().min(into.remaining());
        let count = if self.head_left > 0 {
            let count = available.min(self.head_left);
            self.head_left -= count;
            count
        } else {
            let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            self.body.advance(&self.buffer[..available]).map_err(invalid)?
        };
        into.put_slice(&self.buffer[..count]);
        self.buffer.advance(count);
        Ok(())
    }

    /// Reads more into the buffer. Ready with `false` at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut space = [0; READ_SIZE];
        let mut read = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(!read.filled().is_empty()))
    }

    /// While the response is under way: notices a client that has been reset, and keeps what it sends ahead.
    ///
    /// A client that has ended its write side still gets its response, unless that counts as having left.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while !self.client_ended && self.buffer.len() < AHEAD_LIMIT {
            match ready!(self.poll_fill(cx)) {
                Ok(more) => self.client_ended = !more,
                Err(error) => return Poll::Ready(error),
            }
        }
        // What there is of the response is delivered when it is whole.
        match self.client_ended && !self.may_half_close && !self.exchange.is_done() {
            true => Poll::Ready(io::ErrorKind::ConnectionAborted.into()),
            false => Poll::Pending,
        }
    }

    /// Writes hyper's bytes, with the proxy's own version in front.
    fn poll_write_version(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.version.len() == VERSION.len() && !bytes.starts_with(b"HTTP/1.0") {
            // Only the first bytes are a version. The same bytes later are content.
            self.version = &[];
        }
        if self.version.is_empty() {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, self.version))?;
        self.version = &self.version[count..];
        Poll::Ready(Ok(count))
    }

    /// hyper writes its head in front of the body, in however many pieces the client takes them.
    fn count(&mut self, bytes: &[u8]) {
        self.sent.total += bytes.len() as u64;
        let content = match self.sent.body {
            None => self.sent.head.end_in(bytes).map(|end| &bytes[end..]),
            Some(_) => Some(bytes),
        };
        if let Some(content) = content {
            *self.sent.body.get_or_insert_default() += content.len() as u64;
        }
    }

    /// Writes interim responses, where one may stand: before the head of the answer, and behind what hyper has written whole.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interim.is_empty() {
            if !self.is_flushed || self.sent.body.is_some() {
                return Poll::Ready(Ok(()));
            }
            self.interim.extend_from_slice(&self.exchange.take_interim());
        }
        while !self.interim.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.interim))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim.advance(count);
            self.sent.total += count as u64;
            self.is_flushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Has the client's stream send all that hyper has written, and the interim responses that may follow it.
    fn poll_all_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // hyper flushes only when its own buffer is empty: whatever it has written so far is whole.
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_flushed = true;
            ready!(self.poll_interim(cx))?;
            if self.is_flushed {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for OneRequest<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.message_is_read() {
            if !this.buffer.is_empty() {
                return Poll::Ready(this.hand_out(into));
            }
            match this.poll_fill(cx)? {
                Poll::Ready(true) => this.read_stall.progress(),
                // A message cut short: hyper gets the error, and so does the upstream.
                Poll::Ready(false) => return Poll::Ready(Ok(())),
                Poll::Pending => return this.read_stall.poll_waiting(cx).map(Err),
            }
        }
        if this.stage != Stage::Answering {
            this.stage = Stage::Ended;
            return Poll::Ready(Ok(()));
        }
        this.reader = Some(cx.waker().clone());
        this.poll_ahead(cx).map(Err)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for OneRequest<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = match this.poll_interim(cx)? {
            Poll::Ready(()) => this.poll_write_version(cx, bytes),
            Poll::Pending => Poll::Pending,
        };
        match written {
            Poll::Ready(result) => {
                this.write_stall.progress();
                this.is_flushed = false;
                this.count(&bytes[..*result.as_ref().unwrap_or(&0)]);
                Poll::Ready(result)
            }
            Poll::Pending => this.write_stall.poll_waiting(cx).map(Err),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match this.poll_all_out(cx) {
            Poll::Ready(flushed) => {
                this.write_stall.progress();
                flushed?;
            }
            Poll::Pending => return this.write_stall.poll_waiting(cx).map(Err),
        }
        if this.stage == Stage::Answering && this.exchange.is_done() {
            this.stage = Stage::Answered;
            if let Some(reader) = this.reader.take() {
                reader.wake();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection may go on after this message; the code that gets the stream back closes it.
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_head_whole_and_in_two_pieces() {
        for head in [
            "HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
            "HTTP/1.1 404 x\r\r\n\n\r\n\r\n",
            "HTTP/1.1 101 x\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            let bytes = format!("{head}body\r\n\r\n");
            for cut in 0..bytes.len() {
                let (first, second) = bytes.as_bytes().split_at(cut);
                let mut sent = SentHead::default();
                let end = match sent.end_in(first) {
                    None => sent.end_in(second).map(|end| cut + end),
                    end => end,
                };
                assert_eq!(end, Some(head.len()), "{head:?} cut at {cut}");
            }
        }
    }
}
