//! A stream that speaks HTTP/1.1 on its surface and extended CONNECT below: a request head is written to it, the
//! head of the answer read from it, and then the bytes of the tunnel go both ways.
//!
//! Nothing is asked before the head is whole, and nothing more is sent before it is answered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::header::CONTENT_LENGTH;
use http::uri::Scheme;
use http::{HeaderMap, Response, response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::failure::stream_failed;
use super::inbox::{Inbox, Next};
use super::link::Place;
use super::outlet::Outlet;
use crate::handshake::extended_connect::{PendingConnect, to_connect};
use crate::http1::{HeadLimits, HeadScan, encode_response, request_from_head};

/// A connection to an HTTP/2 upstream for one tunnel: a stream of HTTP/2 that speaks HTTP/1.1 on its surface.
///
/// Made by [`Http2Connect`](super::Http2Connect), for a caller that writes an upgrade request to it as
/// [`http1::encode_request`](crate::http1::encode_request) does:
///
/// 1. What is written is a request head. When it is whole, the extended CONNECT is sent that means the same.
/// 2. What is read is the answer's head: interim ones, and then the 101 that a 2xx stands for, with the right
///    `Sec-WebSocket-Accept`, or the answer that declines. The body of the latter has its `Content-Length`, or ends with
///    the stream.
/// 3. After a 101, bytes go both ways as they are. A shutdown of the write side is END_STREAM, and END_STREAM is the end
///    of the read side.
///
/// A RST_STREAM of the upstream's is [`ConnectionReset`](io::ErrorKind::ConnectionReset), whatever its reason; the end of
/// the whole connection, [`ConnectionAborted`](io::ErrorKind::ConnectionAborted). Dropping it before both directions have
/// ended sends RST_STREAM with CANCEL (RFC 8441, section 5), behind what was written and the upstream has room for.
///
/// A flush waits while the connection is held up. Otherwise what was written goes out in the next turn of the connection's task.
#[derive(Debug)]
pub struct Http2Stream {
    stage: Stage,
    /// Heads that are to be read.
    heads: BytesMut,
    outlet: Option<Outlet>,
    scheme: Scheme,
    // Last: its place is free when the stream is closed.
    place: Place,
}

#[derive(Debug)]
enum Stage {
    /// The request head is being written. A reader already waits for that.
    Asking {
        head: BytesMut,
        scan: HeadScan,
        reader: Option<Waker>,
    },
    /// The answer has not come.
    Asked {
        answer: ResponseFuture,
        pending: PendingConnect,
    },
    /// The upstream has agreed: what comes is the tunnel's.
    Tunnel(Inbox),
    /// The upstream has declined: what comes is the body of its answer.
    Declined(Inbox),
}

impl Http2Stream {
    pub(super) fn new(place: Place, scheme: Scheme) -> Self {
        Http2Stream {
            stage: Stage::Asking {
                head: BytesMut::new(),
                scan: HeadScan::request(),
                reader: None,
            },
            heads: BytesMut::new(),
            outlet: None,
            scheme,
            place,
        }
    }

    /// Takes bytes of the request head, and asks when it is whole. Returns how many of them belong to it.
    fn write_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Stage::Asking { head, scan, reader } = &mut self.stage else {
            return Ok(0);
        };
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let before = head.len();
        head.extend_from_slice(bytes);
        // It was measured where it was read from a client.
        let limits = HeadLimits::default().max_bytes(usize::MAX).max_fields(usize::MAX);
        let end = scan.advance(head, &limits);
        let Some(end) = end.map_err(|error| invalid(error.to_string()))? else {
            return Ok(bytes.len());
        };
        let parsed = request_from_head::<HeaderMap>(head.split_to(end).freeze(), scan);
        let parsed = parsed.map_err(|error| invalid(error.to_string()))?;
        let (parts, pending) = to_connect(parsed.into_parts(), self.scheme.clone())
            .map_err(|error| invalid(error.to_string()))?;
        let (answer, stream) = self.place.ask(parts).map_err(stream_failed)?;
        let reader = reader.take();
        self.outlet = Some(Outlet::new(stream, self.place.driven()));
        self.stage = Stage::Asked { answer, pending };
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(end - before)
    }

    /// Waits for the next head of the answer.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Stage::Asked { answer, pending } = &mut self.stage else {
            return Poll::Ready(Ok(()));
        };
        let pending = *pending;
        // None says that the next one is final.
        match ready!(answer.poll_informational(cx)) {
            Some(interim) => {
                let (parts, ()) = interim.map_err(stream_failed)?.into_parts();
                Poll::Ready(self.take_head(&pending, parts))
            }
            None => {
                let answer = ready!(Pin::new(answer).poll(cx)).map_err(stream_failed)?;
                Poll::Ready(self.take_answer(&pending, answer))
            }
        }
    }

    fn take_answer(&mut self, pending: &PendingConnect, answer: Response<RecvStream>) -> io::Result<()> {
        let (parts, stream) = answer.into_parts();
        let agreed = parts.status.is_success();
        if agreed && parts.headers.contains_key(CONTENT_LENGTH) {
            // RFC 9110, section 9.3.6, has it ignored. h2 does not: it would end the tunnel at its first bytes.
            let why = "a Content-Length in the 2xx to a CONNECT";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let inbox = Inbox::new(stream, self.place.driven());
        self.take_head(pending, parts)?;
        self.stage = match agreed {
            true => Stage::Tunnel(inbox),
            false => {
                // There will be no tunnel, so this direction has nothing to carry.
                if let Some(outlet) = &mut self.outlet {
                    outlet.end();
                }
                Stage::Declined(inbox)
            }
        };
        Ok(())
    }

    fn take_head(&mut self, pending: &PendingConnect, parts: response::Parts) -> io::Result<()> {
        let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut head = Vec::new();
        encode_response(&pending.to_switch(parts).map_err(bad)?, &mut head);
        self.heads.extend_from_slice(&head);
        Ok(())
    }

    /// Waits for bytes, or the end of them.
    fn poll_body(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (inbox, is_tunnel) = match &mut self.stage {
            Stage::Tunnel(inbox) => (inbox, true),
            Stage::Declined(inbox) => (inbox, false),
            _ => return Poll::Ready(Ok(())),
        };
        match ready!(inbox.poll_read(cx, into))? {
            Next::Trailers if is_tunnel => {
                // RFC 9113, section 8.5: frames other than DATA on a connected stream are a stream error.
                if let Some(outlet) = &mut self.outlet {
                    outlet.reset(Reason::PROTOCOL_ERROR);
                }
                let trailers = "trailers in a tunnel";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, trailers)))
            }
            Next::Bytes | Next::End | Next::Trailers => Poll::Ready(Ok(())),
        }
    }

    /// Hands out what there is of a head.
    fn hand_out(&mut self, into: &mut ReadBuf<'_>) -> bool {
        if self.heads.is_empty() {
            return false;
        }
        let count = self.heads.len().min(into.remaining());
        into.put_slice(&self.heads[..count]);
        self.heads.advance(count);
        if self.heads.is_empty() {
            self.heads = BytesMut::new();
        }
        true
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        if let Some(outlet) = self.outlet.take() {
            outlet.leave(|| self.place.hold());
        }
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while !this.hand_out(into) {
            let answered = match &mut this.stage {
                Stage::Asking { reader, .. } => {
                    if let Some(error) = this.place.failure() {
                        return Poll::Ready(Err(this.place.explain(stream_failed(error))));
                    }
                    *reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Stage::Asked { .. } => this.poll_answer(cx),
                Stage::Tunnel(_) | Stage::Declined(_) => {
                    let read = this.poll_body(cx, into);
                    return read.map_err(|error| this.place.explain(error));
                }
            };
            ready!(answered).map_err(|error| this.place.explain(error))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = match (&this.stage, &mut this.outlet) {
            (Stage::Asking { .. }, _) => Poll::Ready(this.write_head(bytes)),
            (Stage::Asked { .. }, _) => {
                let early = "nothing follows an extended CONNECT before it is answered";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, early)))
            }
            (_, Some(outlet)) => outlet.poll_write(cx, bytes),
            (_, None) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        written.map_err(|error| this.place.explain(error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match &mut this.outlet {
            Some(outlet) => outlet
                .poll_on_its_way(cx)
                .map_err(|error| this.place.explain(error)),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match &mut this.outlet {
            Some(outlet) => outlet.poll_end(cx).map_err(|error| this.place.explain(error)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}
