//! The one task of an upgraded connection: it takes the client's socket back from hyper, frees everything of hyper's, and runs the
//! tunnel.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Extensions;
use http::request::Parts;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::timeout;
#[cfg(feature = "rustls")]
use tokio_rustls::server::TlsStream;

use super::config::{Ended, Listeners};
use crate::error::{Cause, Error, Phase, observe_failed_tunnel};
use crate::exchange::Admission;
use crate::header::{Hop, Protocol};
#[cfg(feature = "http2")]
use crate::http2::ConnectStream;
use crate::side::Side;
use crate::telemetry::Parent;
#[cfg(feature = "rustls")]
use crate::tls::ServerStream;
use crate::tunnel::{
    AnyStream, DrainSignal, Rewind, Run, Traffic, Tunnel, TunnelConfig, TunnelError, TunnelWatch, Watched,
    WebSocketConfig,
};

/// All that a tunnel needs but the client's stream.
pub(super) struct Carry<U> {
    pub(super) upstream: U,
    pub(super) from_upstream: Bytes,
    pub(super) config: Arc<TunnelConfig>,
    pub(super) websocket: Option<WebSocketConfig>,
    pub(super) drain: Option<DrainSignal>,
    pub(super) watched: Option<Watched>,
    pub(super) parent: Parent,
    /// What is free again when the tunnel has ended.
    pub(super) admission: Admission,
}

/// A tunnel that is about to run.
type Started<U> = (Run<AnyStream, U, DrainSignal>, Admission, Option<Box<Report>>);

/// The caller's functions for the start and the end of a tunnel, and what they are given.
pub(super) struct Report {
    listeners: Listeners,
    extensions: Extensions,
    protocol: Protocol,
    hop: Hop,
    taken_back: bool,
    plain: bool,
}

impl<U> Carry<U>
where
    U: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Runs the tunnel to its end. `limit` is how long hyper may take to hand over the connection.
    ///
    /// A future is as large as its largest state, so what comes before the tunnel is boxed, and gone before it runs.
    pub(super) fn run(
        self,
        on_upgrade: Promised,
        limit: Duration,
        report: Option<Box<Report>>,
    ) -> impl Future<Output = ()> + Send {
        let started = Box::pin(self.start(on_upgrade, limit, report));
        async move {
            let Some((run, admission, report)) = started.await else {
                return;
            };
            // Pinned where it is: awaited by value it would stand in this future twice.
            let result = pin!(run).await;
            drop(admission);
            if let Err(error) = &result {
                observe_failed_tunnel(error);
            }
            if let Some(report) = report {
                report.report_end(result);
            }
        }
    }

    async fn start(
        self,
        on_upgrade: Promised,
        limit: Duration,
        mut report: Option<Box<Report>>,
    ) -> Option<Started<U>> {
        let client = match take_over(on_upgrade, limit).await {
            Ok(client) => client,
            Err(error) => {
                error.observed();
                drop((self.upstream, self.admission, self.watched));
                if let Some(report) = report {
                    report.report(Err(error));
                }
                return None;
            }
        };
        if let Some(report) = &mut report {
            report.taken_back = client.taken_back;
            report.plain = client.stream.is_plain();
            report.report_start(self.watched.as_ref().map(Watched::watch));
        }
        let tunnel = Tunnel::new(client.stream, self.upstream)
            .config(self.config)
            .websocket(self.websocket)
            .leftovers(client.read, self.from_upstream)
            .watched(self.watched)
            .parent(self.parent)
            .drain_if(self.drain);
        Some((tunnel.run(), self.admission, report))
    }
}

impl Report {
    pub(super) fn new(
        listeners: Listeners,
        protocol: Protocol,
        hop: Hop,
        extensions: Extensions,
    ) -> Box<Self> {
        Box::new(Report {
            listeners,
            extensions,
            protocol,
            hop,
            taken_back: false,
            plain: false,
        })
    }

    fn report_start(&self, watch: Option<TunnelWatch>) {
        self.listeners.started(super::Started {
            protocol: &self.protocol,
            hop: self.hop,
            taken_back: self.taken_back,
            plain: self.plain,
            extensions: &self.extensions,
            watch,
        });
    }

    fn report_end(self, result: Result<Traffic, TunnelError>) {
        let failed = |error: TunnelError| Error::new(Phase::Tunnel, error.side(), Cause::Tunnel(error));
        self.report(result.map_err(failed));
    }

    fn report(self, result: Result<Traffic, Error>) {
        self.listeners.ended(Ended {
            protocol: self.protocol,
            hop: self.hop,
            taken_back: self.taken_back,
            plain: self.plain,
            extensions: self.extensions,
            result,
        });
    }
}

/// The client's side of a tunnel.
struct Client {
    stream: AnyStream,
    /// What hyper has read beyond the request.
    read: Bytes,
    /// Nothing of hyper's is left around it.
    taken_back: bool,
}

/// The client's stream, as its server has promised it for after the answer.
pub(super) enum Promised {
    Hyper(OnUpgrade),
    #[cfg(feature = "http2")]
    Http2(ConnectStream),
}

impl Promised {
    /// What the server has put among the extensions of the request.
    pub(super) fn of(parts: &mut Parts) -> Option<Promised> {
        #[cfg(feature = "http2")]
        if let Some(stream) = parts.extensions.remove() {
            return Some(Promised::Http2(stream));
        }
        parts.extensions.remove().map(Promised::Hyper)
    }
}

async fn take_over(promised: Promised, limit: Duration) -> Result<Client, Error> {
    let failed = |cause| Error::new(Phase::Response, Side::Downstream, cause);
    #[cfg_attr(not(feature = "http2"), allow(clippy::infallible_destructuring_match))]
    let on_upgrade = match promised {
        Promised::Hyper(on_upgrade) => on_upgrade,
        #[cfg(feature = "http2")]
        Promised::Http2(stream) => {
            let stream = timeout(limit, stream).await;
            let stream = stream.map_err(|_| failed(Cause::TimedOut(limit)))?;
            return Ok(Client {
                stream: AnyStream::new(stream.ok_or(failed(Cause::Closed))?),
                read: Bytes::new(),
                taken_back: false,
            });
        }
    };
    match timeout(limit, on_upgrade).await {
        Ok(Ok(upgraded)) => Ok(unwrap(upgraded)),
        // The client has left before it had its 101, or something between the service and hyper has put another
        // response in its place.
        Ok(Err(_)) => Err(failed(Cause::Closed)),
        Err(_) => Err(failed(Cause::TimedOut(limit))),
    }
}

/// Takes hyper's wrapping off a connection, where it is one of the types that are known here.
fn unwrap(mut upgraded: Upgraded) -> Client {
    for take_as in KNOWN {
        match take_as(upgraded) {
            Ok(client) => return client,
            Err(other) => upgraded = other,
        }
    }
    // HTTP/2, or a stream of the caller's: through hyper's own, with all that it holds.
    Client {
        stream: AnyStream::new(SmallWrites(TokioIo::new(upgraded))),
        read: Bytes::new(),
        taken_back: false,
    }
}

/// The most bytes that hyper's HTTP/2 is given in one write. It keeps three of them besides what is in its send buffer.
const SMALL: usize = 16 * 1024;

/// hyper's stream, which takes whatever it is given in one write, however much that is.
struct SmallWrites<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for SmallWrites<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SmallWrites<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(SMALL)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

type Known = fn(Upgraded) -> Result<Client, Upgraded>;

/// What servers are commonly given, the likeliest first.
const KNOWN: &[Known] = &[
    |upgraded| unwrap_as(upgraded, without_delay),
    #[cfg(feature = "rustls")]
    |upgraded| {
        unwrap_as(upgraded, |tls: &ServerStream<TcpStream>| {
            without_delay(tls.get_ref().0.get_ref())
        })
    },
    |upgraded| unwrap_as(upgraded, |_: &AnyStream| ()),
    unwrap_rewound,
    #[cfg(feature = "rustls")]
    |upgraded| {
        unwrap_as(upgraded, |tls: &TlsStream<TcpStream>| {
            without_delay(tls.get_ref().0)
        })
    },
    #[cfg(unix)]
    |upgraded| unwrap_as(upgraded, |_: &UnixStream| ()),
    #[cfg(all(unix, feature = "rustls"))]
    |upgraded| unwrap_as(upgraded, |_: &ServerStream<UnixStream>| ()),
];

fn unwrap_as<S>(upgraded: Upgraded, prepare: impl Fn(&S)) -> Result<Client, Upgraded>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, read) = take_back::<S>(upgraded)?;
    prepare(&stream);
    Ok(Client {
        stream: AnyStream::new(stream),
        read,
        taken_back: true,
    })
}

/// From a balancer that speaks the PROXY protocol. What hyper has not read of the bytes in front follows what it has.
fn unwrap_rewound(upgraded: Upgraded) -> Result<Client, Upgraded> {
    let (rewind, read) = take_back::<Rewind<TcpStream>>(upgraded)?;
    let (socket, front) = rewind.into_parts();
    without_delay(&socket);
    Ok(Client {
        stream: AnyStream::from(socket),
        read: [read, front].concat().into(),
        taken_back: true,
    })
}

/// Three servers, three wrappings: hyper-util's `auto` builder, which axum uses, has one of its own.
fn take_back<S>(upgraded: Upgraded) -> Result<(S, Bytes), Upgraded>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (io, read) = match auto::upgrade::downcast::<TokioIo<S>>(upgraded) {
        Ok(parts) => (parts.io, parts.read_buf),
        Err(upgraded) => upgraded
            .downcast::<TokioIo<S>>()
            .map(|parts| (parts.io, parts.read_buf))?,
    };
    // Copied: a few bytes must not hold on to the whole of hyper's read buffer.
    Ok((io.into_inner(), Bytes::copy_from_slice(&read)))
}

/// A tunnel carries messages, and must not hold one back for the next. HTTP servers commonly leave that to the kernel.
fn without_delay(socket: &TcpStream) {
    // Fails only on a socket that is no longer connected, which the tunnel will find.
    let _ = socket.set_nodelay(true);
}
