//! Law: hyper's client gets only response heads that the crate's parser has accepted, each in answer to a request.
//!
//! What an upstream says without having been asked, on a connection that waits in the pool, is never the answer to
//! the next request.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use http::{Method, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::relay::RelayConfig;
use super::stall::Stall;
use crate::Side;
use crate::connect::TcpConnect;
use crate::error::{Cause, Error, Phase};
use crate::handshake::BadSwitch;
use crate::head::{BodyLength, BodyScanner, HeadLimits, HeadScan, response_from_head};

const READ_SIZE: usize = 16 * 1024;

/// An [`Error`] on its way through hyper, to be found again by [`Failure::within`].
#[derive(Clone, Debug)]
pub(super) struct Failure(pub(super) Arc<Error>);

impl Failure {
    fn new(phase: Phase, cause: impl Into<Cause>) -> Self {
        Failure(Arc::new(Error::new(phase, Side::Upstream, cause)))
    }

    /// A 101 to a request that asked for no upgrade.
    pub(super) fn unasked_switch() -> Self {
        Failure::unusable(BadSwitch::UpgradeNotOffered)
    }

    /// A response that cannot be relayed.
    pub(super) fn unusable(why: BadSwitch) -> Self {
        Failure::new(Phase::ResponseHead, why)
    }

    fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    /// The failure that has made hyper fail; any other is an upstream that broke off.
    pub(super) fn within(error: &(dyn StdError + 'static)) -> Failure {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(failure) = error.downcast_ref::<Failure>() {
                return failure.clone();
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                if let Some(failure) = io.get_ref().and_then(|inner| inner.downcast_ref::<Failure>()) {
                    return failure.clone();
                }
            }
            next = error.source();
        }
        Failure::new(Phase::ResponseHead, Cause::Closed)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Failure {}

/// Connects hyper-util's client to the authority of the request's URI.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    config: RelayConfig,
}

impl Connector {
    pub(super) fn new(config: RelayConfig) -> Self {
        Connector { config }
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Upstream<TcpStream>>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let config = self.config.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let port = uri.port_u16().unwrap_or(80);
            let connect = TcpConnect::to(format!("{host}:{port}"));
            let limit = config.connect_limit();
            let stream = timeout(limit, connect.stream())
                .await
                .map_err(|_| Failure::new(Phase::Connect, Cause::TimedOut(limit)))?
                .map_err(|error| Failure::new(Phase::Connect, error))?;
            Ok(TokioIo::new(Upstream::new(stream, &config)))
        })
    }
}

/// An upstream's stream as hyper's client sees it.
#[derive(Debug)]
pub(super) struct Upstream<S> {
    stream: S,
    /// Read, and not yet found to be sound.
    raw: BytesMut,
    /// Sound, and not yet handed to hyper.
    sound: BytesMut,
    stage: Stage,
    /// The method of the request under way; none while the connection waits for one.
    asked: Option<Method>,
    limits: HeadLimits,
    stall: Stall,
}

#[derive(Debug)]
enum Stage {
    Head(HeadScan),
    Body(BodyScanner),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Upstream<S> {
    fn new(stream: S, config: &RelayConfig) -> Self {
        Upstream {
            stream,
            raw: BytesMut::new(),
            sound: BytesMut::new(),
            stage: Stage::Head(HeadScan::response()),
            asked: None,
            limits: config.limits(),
            stall: Stall::new(config.read_limit()),
        }
    }

    /// Moves what is sound from `raw` to `sound`.
    fn sift(&mut self) -> Result<(), Failure> {
        while !self.raw.is_empty() {
            let Some(method) = &self.asked else {
                return Err(Failure::new(Phase::Request, Cause::TalksFirst));
            };
            match &mut self.stage {
                Stage::Head(scan) => {
                    let invalid = |error| Failure::new(Phase::ResponseHead, Cause::Head(error));
                    let Some(end) = scan.advance(&self.raw, &self.limits).map_err(invalid)? else {
                        return Ok(());
                    };
                    let head = self.raw.split_to(end);
                    let parts = response_from_head(head.clone().freeze(), scan).map_err(invalid)?;
                    self.sound.unsplit(head);
                    *scan = HeadScan::response();
                    if !parts.status.is_informational() {
                        let length = BodyLength::of_response(&parts, method);
                        let length = length.map_err(|error| invalid(error.into()))?;
                        self.stage = Stage::Body(BodyScanner::new(length));
                    }
                }
                Stage::Body(scanner) => {
                    let invalid = |error| Failure::new(Phase::Response, Cause::Body(error));
                    let count = scanner.advance(&self.raw).map_err(invalid)?;
                    self.sound.unsplit(self.raw.split_to(count));
                }
            }
            self.end_message();
        }
        Ok(())
    }

    fn end_message(&mut self) {
        if matches!(&self.stage, Stage::Body(scanner) if scanner.is_complete()) {
            self.stage = Stage::Head(HeadScan::response());
            self.asked = None;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Upstream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.sound.is_empty() {
            let mut space = [0; READ_SIZE];
            let mut read = ReadBuf::new(&mut space);
            match Pin::new(&mut this.stream).poll_read(cx, &mut read)? {
                Poll::Ready(()) if read.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(()) => {
                    this.stall.progress();
                    this.raw.extend_from_slice(read.filled());
                    this.sift().map_err(Failure::into_io)?;
                }
                Poll::Pending if this.asked.is_none() => return Poll::Pending,
                Poll::Pending => {
                    ready!(this.stall.poll_waiting(cx));
                    let cause = Cause::TimedOut(this.stall.limit());
                    return Poll::Ready(Err(Failure::new(Phase::ResponseHead, cause).into_io()));
                }
            }
        }
        let count = this.sound.len().min(into.remaining());
        into.put_slice(&this.sound[..count]);
        this.sound.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Upstream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        // The upstream has been given something to answer.
        self.stall.progress();
        if self.asked.is_none() {
            // hyper writes a head in one piece, and only between two responses.
            // It has polled the read side before, when there was nothing to wait for: now the wait has a deadline.
            cx.waker().wake_by_ref();
            self.asked = Some(if bytes.starts_with(b"HEAD ") {
                Method::HEAD
            } else {
                Method::GET
            });
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Connection for Upstream<TcpStream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
