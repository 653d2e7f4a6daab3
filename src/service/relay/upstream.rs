//! hyper's client gets only response heads that the crate's parser has accepted, each in answer to a request.
//!
//! What an upstream says without having been asked, on a connection that waits in the pool, is never the answer to
//! the next request.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
#[cfg(feature = "rustls")]
use http::uri::Scheme;
use http::{Method, StatusCode, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::connect::{ConnectError, TcpConnect};
use crate::error::{Cause, Phase};
use crate::exchange;
use crate::http1::{BodyLength, BodyScanner, HeadError, HeadLimits, HeadScan, response_from_head};
use crate::service::config::RelayConfig;
use crate::service::failure::Failure;
use crate::service::stall::Stall;
#[cfg(feature = "rustls")]
use crate::tls::TlsConnect;
use crate::tunnel::AnyStream;

const READ_SIZE: usize = 16 * 1024;

/// Connects hyper-util's client to the authority of the request's URI.
#[derive(Clone, Debug)]
pub(in crate::service) struct Connector {
    config: RelayConfig,
}

impl Connector {
    pub(in crate::service) fn new(config: RelayConfig) -> Self {
        Connector { config }
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Upstream<AnyStream>>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let config = self.config.clone();
        Box::pin(async move {
            let limit = config.connect_limit();
            let stream = timeout(limit, connect(&uri, &config))
                .await
                .map_err(|_| Failure::new(Phase::Connect, Cause::TimedOut(limit)))?
                .map_err(|error| Failure::new(Phase::Connect, error))?;
            Ok(TokioIo::new(Upstream::new(stream, &config)))
        })
    }
}

pub(super) async fn connect(uri: &Uri, config: &RelayConfig) -> Result<AnyStream, ConnectError> {
    let host = uri.host().unwrap_or_default();
    #[cfg(feature = "rustls")]
    if uri.scheme() == Some(&Scheme::HTTPS) {
        let invalid = |source, hint| ConnectError::Tls {
            name: host.to_owned(),
            error: source,
            hint,
        };
        let Some(tls) = config.tls.clone() else {
            let source = io::Error::other("nothing says which certificates are believed");
            return Err(invalid(
                source,
                "Give the relay a configuration: RelayConfig::tls.",
            ));
        };
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(443));
        let connect = TlsConnect::to(authority, tls).map_err(|error| {
            let source = io::Error::new(io::ErrorKind::InvalidInput, error);
            invalid(source, "Name the destination by a host or an address.")
        })?;
        return connect.stream().await.map(AnyStream::new);
    }
    #[cfg(not(feature = "rustls"))]
    let _ = config;
    let port = uri.port_u16().unwrap_or(80);
    let connect = TcpConnect::to(format!("{host}:{port}"));
    connect.stream().await.map(AnyStream::from)
}

/// What TLS says of itself is kept on its way through hyper. Any other failure is an upstream that has broken off.
fn keep_tls(error: io::Error) -> io::Error {
    match Cause::of_upstream(error) {
        cause @ Cause::Tls { .. } => Failure::new(Phase::ResponseHead, cause).into_io(),
        Cause::Io(error) => error,
        _ => io::ErrorKind::UnexpectedEof.into(),
    }
}

/// An upstream's stream as hyper's client sees it.
#[derive(Debug)]
pub(in crate::service) struct Upstream<S> {
    stream: S,
    /// Read, and not yet found to be sound.
    raw: BytesMut,
    /// Sound, and not yet handed to hyper.
    sound: BytesMut,
    stage: Stage,
    /// The method of the request under way; none while the connection waits for one.
    asked: Option<Method>,
    /// Interim responses to the request under way.
    interim: usize,
    /// It has carried a request before, and of the answer to this one nothing has come.
    may_be_stale: bool,
    /// Bytes have come that no request has asked for. They are the answer to none, and nothing goes over it any more.
    talks_first: bool,
    limits: HeadLimits,
    /// Between two reads of a body. The wait for a head is the relay's business.
    read_stall: Stall,
    write_stall: Stall,
}

#[derive(Debug)]
enum Stage {
    Head(HeadScan),
    Body(BodyScanner),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Upstream<S> {
    pub(in crate::service) fn new(stream: S, config: &RelayConfig) -> Self {
        Upstream {
            stream,
            raw: BytesMut::new(),
            sound: BytesMut::new(),
            stage: Stage::Head(HeadScan::response()),
            asked: None,
            interim: 0,
            may_be_stale: false,
            talks_first: false,
            limits: config.limits(),
            read_stall: Stall::new(config.read_limit()),
            write_stall: Stall::new(config.send_limit()),
        }
    }

    /// Moves what is sound from `raw` to `sound`.
    fn sift(&mut self) -> Result<(), Failure> {
        while !self.raw.is_empty() {
            let Some(method) = &self.asked else {
                // The answer that they follow is whole, and is handed on.
                self.talks_first = true;
                return Ok(());
            };
            match &mut self.stage {
                Stage::Head(scan) => {
                    let invalid = |error: HeadError| Failure::new(Phase::ResponseHead, error);
                    let Some(end) = scan.advance(&self.raw, &self.limits).map_err(invalid)? else {
                        return Ok(());
                    };
                    let head = self.raw.split_to(end);
                    let parts = response_from_head(head.clone().freeze(), scan).map_err(invalid)?;
                    // What stands behind it is no response, and nothing here asks for an upgrade.
                    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
                        return Err(Failure::unasked_switch());
                    }
                    self.sound.unsplit(head);
                    *scan = HeadScan::response();
                    if parts.status.is_informational() {
                        self.interim += 1;
                        if self.interim > exchange::MAX_INTERIM {
                            return Err(Failure::new(Phase::ResponseHead, Cause::TooManyInterim));
                        }
                    } else {
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
            self.interim = 0;
            self.may_be_stale = true;
        }
    }

    /// Why the stream has ended, in order or not, where the upstream may have ended it before it was asked.
    fn stale(&self) -> Option<io::Error> {
        self.may_be_stale.then(|| Failure::stale().into_io())
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
            if this.talks_first {
                let failure = Failure::new(Phase::Request, Cause::TalksFirst);
                return Poll::Ready(Err(failure.into_io()));
            }
            let mut space = [0; READ_SIZE];
            let mut read = ReadBuf::new(&mut space);
            match Pin::new(&mut this.stream)
                .poll_read(cx, &mut read)
                .map_err(|error| this.stale().unwrap_or_else(|| keep_tls(error)))?
            {
                Poll::Ready(()) if read.filled().is_empty() => {
                    // One that is not asked may end: hyper takes it out of the pool.
                    let stale = this.asked.as_ref().and_then(|_| this.stale());
                    return Poll::Ready(stale.map_or(Ok(()), Err));
                }
                Poll::Ready(()) => {
                    this.may_be_stale = false;
                    this.read_stall.progress();
                    this.raw.extend_from_slice(read.filled());
                    this.sift().map_err(Failure::into_io)?;
                }
                Poll::Pending if matches!(this.stage, Stage::Head(_)) => return Poll::Pending,
                Poll::Pending => {
                    let late = Failure::late(this.read_stall.limit());
                    return this.read_stall.poll_waiting(cx).map(|_| Err(late.into_io()));
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
        let this = &mut *self;
        if this.talks_first {
            return Poll::Ready(Err(Failure::stale().into_io()));
        }
        let Poll::Ready(written) = Pin::new(&mut this.stream)
            .poll_write(cx, bytes)
            .map_err(|error| this.stale().unwrap_or(error))?
        else {
            let late = Failure::late(this.write_stall.limit());
            return this.write_stall.poll_waiting(cx).map(|_| Err(late.into_io()));
        };
        this.write_stall.progress();
        if this.asked.is_none() {
            // hyper writes a head in one piece, and only between two responses.
            this.asked = Some(if bytes.starts_with(b"HEAD ") {
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

impl<S> Connection for Upstream<S> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
