//! Law: the one task of an upgraded connection: takes the client's socket back from hyper, frees all that is hyper's,
//! and runs the tunnel.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::service_config::{Ended, OnEnd};
use crate::Side;
use crate::error::{Cause, Error, Phase};
use crate::exchange::Admission;
use crate::header::{Hop, Protocol};
use crate::tunnel::{AnyStream, Draining, Permit, Run, Traffic, Tunnel, TunnelConfig, TunnelError};

/// All that a tunnel needs but the client's stream.
pub(super) struct Carry<U> {
    pub(super) upstream: U,
    pub(super) from_upstream: Bytes,
    pub(super) config: Arc<TunnelConfig>,
    pub(super) drain: Draining,
    pub(super) places: Places,
}

/// What is free again when the tunnel has ended.
pub(super) struct Places {
    pub(super) _open: Option<Permit>,
    pub(super) _admission: Admission,
}

/// A tunnel that is about to run.
type Started<U> = (Run<AnyStream, U, Draining>, Places, Option<Box<Told>>);

/// To whom the end is told.
pub(super) struct Told {
    on_end: Arc<OnEnd>,
    protocol: Protocol,
    hop: Hop,
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
        on_upgrade: OnUpgrade,
        limit: Duration,
        told: Option<Box<Told>>,
    ) -> impl Future<Output = ()> + Send {
        let started = Box::pin(self.start(on_upgrade, limit, told));
        async move {
            let Some((run, places, told)) = started.await else {
                return;
            };
            // Pinned where it is: awaited by value it would stand in this future twice.
            let result = pin!(run).await;
            drop(places);
            if let Some(told) = told {
                told.tell_end(result);
            }
        }
    }

    async fn start(
        self,
        on_upgrade: OnUpgrade,
        limit: Duration,
        mut told: Option<Box<Told>>,
    ) -> Option<Started<U>> {
        let (client, from_client) = match take_over(on_upgrade, limit).await {
            Ok(taken) => taken,
            Err(error) => {
                drop((self.upstream, self.places));
                if let Some(told) = told {
                    told.tell(Err(error));
                }
                return None;
            }
        };
        if let Some(told) = &mut told {
            told.plain = client.is_plain();
        }
        let tunnel = Tunnel::new(client, self.upstream)
            .config(self.config)
            .leftovers(from_client, self.from_upstream)
            .drain(self.drain);
        Some((tunnel.run(), self.places, told))
    }
}

impl Told {
    pub(super) fn new(on_end: Arc<OnEnd>, protocol: Protocol, hop: Hop) -> Box<Self> {
        Box::new(Told {
            on_end,
            protocol,
            hop,
            plain: false,
        })
    }

    fn tell_end(self, result: Result<Traffic, TunnelError>) {
        let failed = |error: TunnelError| Error::new(Phase::Tunnel, error.side(), Cause::Tunnel(error));
        self.tell(result.map_err(failed));
    }

    fn tell(self, result: Result<Traffic, Error>) {
        (self.on_end)(Ended {
            protocol: self.protocol,
            hop: self.hop,
            plain: self.plain,
            result,
        });
    }
}

/// The client's stream, and what hyper has read from it beyond the request.
async fn take_over(on_upgrade: OnUpgrade, limit: Duration) -> Result<(AnyStream, Bytes), Error> {
    let failed = |cause| Error::new(Phase::Response, Side::Downstream, cause);
    match timeout(limit, on_upgrade).await {
        Ok(Ok(upgraded)) => Ok(unwrap(upgraded)),
        // The client has left before it had its 101, or something between the service and hyper has put another
        // response in its place.
        Ok(Err(_)) => Err(failed(Cause::Closed)),
        Err(_) => Err(failed(Cause::TimedOut(limit))),
    }
}

/// Takes hyper's wrapping off a connection, where it is one of the types that are known here.
fn unwrap(upgraded: Upgraded) -> (AnyStream, Bytes) {
    let upgraded = match unwrap_as::<TcpStream>(upgraded, without_delay) {
        Ok(unwrapped) => return unwrapped,
        Err(upgraded) => upgraded,
    };
    #[cfg(unix)]
    let upgraded = match unwrap_as::<tokio::net::UnixStream>(upgraded, |_| ()) {
        Ok(unwrapped) => return unwrapped,
        Err(upgraded) => upgraded,
    };
    let upgraded = match unwrap_as::<AnyStream>(upgraded, |_| ()) {
        Ok(unwrapped) => return unwrapped,
        Err(upgraded) => upgraded,
    };
    #[cfg(feature = "rustls")]
    let upgraded = match unwrap_as(upgraded, |tls: &tokio_rustls::server::TlsStream<TcpStream>| {
        without_delay(tls.get_ref().0)
    }) {
        Ok(unwrapped) => return unwrapped,
        Err(upgraded) => upgraded,
    };
    // HTTP/2, or a stream of the caller's: through hyper's own, with all that it holds.
    (AnyStream::new(TokioIo::new(upgraded)), Bytes::new())
}

/// Three servers, three wrappings: hyper-util's `auto` builder, which axum uses, has one of its own.
fn unwrap_as<S>(upgraded: Upgraded, prepare: impl Fn(&S)) -> Result<(AnyStream, Bytes), Upgraded>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (io, read) = match auto::upgrade::downcast::<TokioIo<S>>(upgraded) {
        Ok(parts) => (parts.io, parts.read_buf),
        Err(upgraded) => upgraded
            .downcast::<TokioIo<S>>()
            .map(|parts| (parts.io, parts.read_buf))?,
    };
    let stream = io.into_inner();
    prepare(&stream);
    // Copied: a few bytes must not hold on to the whole of hyper's read buffer.
    Ok((AnyStream::new(stream), Bytes::copy_from_slice(&read)))
}

/// A tunnel carries messages, and must not hold one back for the next. HTTP servers commonly leave that to the kernel.
fn without_delay(socket: &TcpStream) {
    // Fails only on a socket that is no longer connected, which the tunnel will find.
    let _ = socket.set_nodelay(true);
}
