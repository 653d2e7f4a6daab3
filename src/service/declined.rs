//! The body of a declined upgrade. It is read from the upstream's own stream up to its end, and not a byte further.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::SizeHint;
use tokio::io::{AsyncRead, ReadBuf};

use super::stall::Stall;
use crate::error::{Cause, Error, Phase};
use crate::exchange::Admission;
use crate::http1::{BodyLength, BodyScanner};
use crate::side::Side;
use crate::wire;

const READ_SIZE: usize = 16 * 1024;

/// What is left of the upstream's connection after the head that declined. Trailer fields end here.
pub(super) struct DeclinedBody {
    /// None when all of it has been read.
    upstream: Option<Upstream>,
    length: BodyLength,
    scanner: BodyScanner,
    read: BytesMut,
    stall: Stall,
}

/// A connection and its place, which is free when that is closed.
struct Upstream {
    stream: Box<dyn AsyncRead + Send + Unpin>,
    _admission: Admission,
}

impl DeclinedBody {
    pub(super) fn new(
        upstream: impl AsyncRead + Send + Unpin + 'static,
        length: BodyLength,
        early: &[u8],
        limit: Duration,
        admission: Admission,
    ) -> Self {
        let upstream = Upstream {
            stream: Box::new(upstream),
            _admission: admission,
        };
        let scanner = BodyScanner::new(length);
        DeclinedBody {
            upstream: Some(upstream).filter(|_| !scanner.is_complete()),
            length,
            scanner,
            read: BytesMut::from(early),
            stall: Stall::new(limit),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.scanner.is_complete()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.length {
            BodyLength::None => SizeHint::with_exact(0),
            BodyLength::Exactly(length) => SizeHint::with_exact(length),
            BodyLength::Chunked | BodyLength::UntilClose => SizeHint::default(),
        }
    }

    /// The next bytes of the content; none at its end.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let data = self.poll_read_data(cx);
        // However long the client takes for the last of it, and whether the server asks for more than that or not.
        let is_read = self.scanner.is_complete() || matches!(data, Poll::Ready(Ok(None) | Err(_)));
        if is_read {
            self.upstream = None;
        }
        data
    }

    fn poll_read_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let failed = |cause: Cause| Error::new(Phase::Response, Side::Upstream, cause);
        while !self.scanner.is_complete() {
            if !self.read.is_empty() {
                let split = self.scanner.split(&self.read);
                let (framing, data) = split.map_err(|error| failed(error.into()))?;
                self.read.advance(framing);
                if data > 0 {
                    return Poll::Ready(Ok(Some(self.read.split_to(data).freeze())));
                }
                continue;
            }
            let Some(upstream) = &mut self.upstream else {
                // It has failed, or ended, before.
                return Poll::Ready(match self.scanner.may_end_here() {
                    true => Ok(None),
                    false => Err(failed(Cause::Closed)),
                });
            };
            let mut space = [0; READ_SIZE];
            let mut read = ReadBuf::new(&mut space);
            let outcome = Pin::new(&mut upstream.stream).poll_read(cx, &mut read);
            match wire::again(cx, outcome) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    return Poll::Ready(match self.scanner.may_end_here() {
                        true => Ok(None),
                        false => Err(failed(Cause::Closed)),
                    });
                }
                Poll::Ready(Ok(())) => {
                    self.stall.progress();
                    self.read.extend_from_slice(read.filled());
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Err(failed(Cause::Closed)));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(failed(error.into()))),
                Poll::Pending => {
                    ready!(self.stall.poll_waiting(cx));
                    return Poll::Ready(Err(failed(Cause::TimedOut(self.stall.limit()))));
                }
            }
        }
        Poll::Ready(Ok(None))
    }
}

impl fmt::Debug for DeclinedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeclinedBody")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
