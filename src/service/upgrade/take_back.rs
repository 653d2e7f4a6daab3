//! The client's connection after a switch: hyper's wrapping is taken off the socket, where it is one of the types that are known
//! here.
//!
//! It must not know what the connection is for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Extensions;
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

use crate::error::{Cause, Error, Phase};
#[cfg(feature = "http2")]
use crate::http2::ConnectStream;
use crate::side::Side;
#[cfg(feature = "rustls")]
use crate::tls::ServerStream;
use crate::tunnel::{AnyStream, Rewind};

/// A client's connection after a switch ([`take_back`]).
#[derive(Debug)]
#[non_exhaustive]
pub struct TakenBack {
    /// The stream.
    pub stream: AnyStream,
    /// What hyper has read beyond the request: the first bytes of the tunnel.
    pub read: Bytes,
    /// Nothing of hyper's is left around the stream. If something is, every byte goes through hyper's buffers.
    pub taken_back: bool,
}

/// Takes the client's socket back from hyper after a switch, for code that sends its 101 by itself and uses the
/// [tunnel](crate::Tunnel) alone. [`UpgradeService`](super::UpgradeService) does it by itself.
///
/// Known are a TCP or Unix socket, plain or in this crate's TLS, a tokio-rustls stream over TCP, and any stream in an
/// [`AnyStream`]; under `axum::serve`, hyper-util's `auto` builder and hyper's own. `TCP_NODELAY` is set on TCP. Any other stream,
/// and one of HTTP/2, stays in hyper's wrapping.
///
/// ```
/// use http::{HeaderMap, Request, Response, StatusCode};
/// use hyper::body::Incoming;
/// use switchover::service::take_back;
/// use switchover::Tunnel;
/// use switchover::tunnel::Rewind;
///
/// // `switched` has the fields of a 101 whose upstream the caller has asked, and what came behind its head.
/// fn answer(request: Request<Incoming>, switched: HeaderMap, upstream: Rewind<tokio::net::TcpStream>) -> Response<String> {
///     let on_upgrade = hyper::upgrade::on(request);
///     tokio::spawn(async move {
///         let Ok(upgraded) = on_upgrade.await else { return };
///         let client = take_back(upgraded);
///         let tunnel = Tunnel::new(Rewind::new(client.stream, client.read), upstream);
///         println!("{:?}", tunnel.run().await);
///     });
///     let mut response = Response::new(String::new());
///     *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
///     *response.headers_mut() = switched;
///     response
/// }
/// ```
#[must_use = "what hyper has read belongs to the tunnel"]
pub fn take_back(mut upgraded: Upgraded) -> TakenBack {
    for take_as in KNOWN {
        match take_as(upgraded) {
            Ok(client) => return client,
            Err(other) => upgraded = other,
        }
    }
    // HTTP/2, or a stream of the caller's: through hyper's own, with all that it holds.
    TakenBack {
        stream: AnyStream::new(SmallWrites(TokioIo::new(upgraded))),
        read: Bytes::new(),
        taken_back: false,
    }
}

/// The client's stream, as its server has promised it for after the answer.
pub(in crate::service) enum Promised {
    Hyper(OnUpgrade),
    #[cfg(feature = "http2")]
    Http2(ConnectStream),
}

impl Promised {
    /// What the server has put among the extensions of the request.
    pub(in crate::service) fn of(extensions: &mut Extensions) -> Option<Promised> {
        #[cfg(feature = "http2")]
        if let Some(stream) = extensions.remove() {
            return Some(Promised::Http2(stream));
        }
        extensions.remove().map(Promised::Hyper)
    }
}

pub(super) async fn take_over(promised: Promised, limit: Duration) -> Result<TakenBack, Error> {
    let failed = |cause| Error::new(Phase::Response, Side::Downstream, cause);
    #[cfg_attr(not(feature = "http2"), allow(clippy::infallible_destructuring_match))]
    let on_upgrade = match promised {
        Promised::Hyper(on_upgrade) => on_upgrade,
        #[cfg(feature = "http2")]
        Promised::Http2(stream) => {
            let stream = timeout(limit, stream).await;
            let stream = stream.map_err(|_| failed(Cause::TimedOut(limit)))?;
            return Ok(TakenBack {
                stream: AnyStream::new(stream.ok_or(failed(Cause::Closed))?),
                read: Bytes::new(),
                taken_back: false,
            });
        }
    };
    match timeout(limit, on_upgrade).await {
        Ok(Ok(upgraded)) => Ok(take_back(upgraded)),
        // The client has left before it had its 101, or something between the service and hyper has put another
        // response in its place.
        Ok(Err(_)) => Err(failed(Cause::Closed)),
        Err(_) => Err(failed(Cause::TimedOut(limit))),
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

type Known = fn(Upgraded) -> Result<TakenBack, Upgraded>;

/// What servers are commonly given, the likeliest first.
const KNOWN: &[Known] = &[
    |upgraded| unwrap_as(upgraded, without_delay),
    #[cfg(feature = "rustls")]
    |upgraded| {
        unwrap_as(upgraded, |tls: &ServerStream<TcpStream>| {
            without_delay(tls.get_ref().0)
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

fn unwrap_as<S>(upgraded: Upgraded, prepare: impl Fn(&S)) -> Result<TakenBack, Upgraded>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, read) = downcast::<S>(upgraded)?;
    prepare(&stream);
    Ok(TakenBack {
        stream: AnyStream::new(stream),
        read,
        taken_back: true,
    })
}

/// From a balancer that speaks the PROXY protocol. What hyper has not read of the bytes in front follows what it has.
fn unwrap_rewound(upgraded: Upgraded) -> Result<TakenBack, Upgraded> {
    let (rewind, read) = downcast::<Rewind<TcpStream>>(upgraded)?;
    let (socket, front) = rewind.into_parts();
    without_delay(&socket);
    Ok(TakenBack {
        stream: AnyStream::from(socket),
        read: [read, front].concat().into(),
        taken_back: true,
    })
}

/// Three servers, three wrappings: hyper-util's `auto` builder, which axum uses, has one of its own.
fn downcast<S>(upgraded: Upgraded) -> Result<(S, Bytes), Upgraded>
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
