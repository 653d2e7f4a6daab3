//! Which connection to an upstream a request goes over: one that is kept for the place that it goes to, or a fresh one.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::Uri;
use http::uri::{Authority, Scheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::asked::Asked;
use super::connection::Connection;
use super::destination::Destination;
use super::idle::Idle;
use crate::clock::After;
use crate::connect::{AddressError, Connect, ConnectError, PoolKey, TcpConnect};
use crate::error::{Cause, Phase};
use crate::exchange::unasked;
use crate::service::config::{Keeping, RelayConfig};
use crate::service::failure::Failure;
use crate::service::tasks::Tasks;
use crate::telemetry::{self, Kind, Stopwatch};
#[cfg(feature = "rustls")]
use crate::tls::TlsConnect;
use crate::tunnel::AnyStream;
use crate::wire;

/// Where connections come from.
pub(in crate::service) trait Source: Clone + Send + Sync + 'static {
    type Place: Send + 'static;
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// A connection for the request.
    fn open(
        &self,
        asked: &Asked,
        destination: &Destination,
        config: &RelayConfig,
    ) -> impl Future<Output = Result<Opened<Self::Place, Self::Stream>, Failure>> + Send;

    /// Where it leads, where that does not depend on the request.
    fn authority(&self) -> Option<&str> {
        None
    }

    /// Keeps a connection for other requests that go to the same place.
    fn keep(&self, opened: Opened<Self::Place, Self::Stream>);
}

/// A connection, and the place that it leads to, where it may be kept for others.
pub(in crate::service) struct Opened<K, S> {
    pub(super) connection: Connection<S>,
    place: Option<K>,
}

/// To the authority of each request's destination.
#[derive(Clone, Debug)]
pub(in crate::service) struct Named {
    idle: Idle<(Scheme, Authority), AnyStream>,
}

impl Named {
    pub(super) fn new(tasks: Tasks, keeping: Keeping) -> Self {
        Named {
            idle: Idle::new(tasks, keeping),
        }
    }
}

impl Source for Named {
    type Place = (Scheme, Authority);
    type Stream = AnyStream;

    async fn open(
        &self,
        asked: &Asked,
        destination: &Destination,
        config: &RelayConfig,
    ) -> Result<Opened<Self::Place, AnyStream>, Failure> {
        asked.sets_out(Some(destination.authority.as_str()));
        let place = (destination.scheme.clone(), destination.authority.clone());
        if let Some(connection) = taken(&self.idle, &place, asked).await {
            return Ok(Opened::kept(connection, place));
        }
        let uri = Uri::builder()
            .scheme(place.0.clone())
            .authority(place.1.clone())
            .path_and_query("/");
        // A scheme, an authority and a path: nothing in it can be wrong.
        let uri = uri.build().unwrap_or_default();
        // Boxed, because it is rare: it would set the size of what is common.
        let stream = Box::pin(fresh(asked, config, |_| connect(&uri, config))).await?;
        Ok(Opened::kept(self.idle.opened(stream), place))
    }

    fn keep(&self, opened: Opened<Self::Place, AnyStream>) {
        if let Some(place) = opened.place {
            self.idle.put(place, opened.connection);
        }
    }
}

/// To where a connector leads.
pub(in crate::service) struct Through<C: Connect> {
    connect: Arc<C>,
    idle: Idle<PoolKey, C::Stream>,
}

impl<C: Connect> Clone for Through<C> {
    fn clone(&self) -> Self {
        Through {
            connect: self.connect.clone(),
            idle: self.idle.clone(),
        }
    }
}

impl<C: Connect> Through<C> {
    pub(super) fn new(connect: Arc<C>, tasks: Tasks, keeping: Keeping) -> Self {
        Through {
            connect,
            idle: Idle::new(tasks, keeping),
        }
    }
}

impl<C: Connect + 'static> Source for Through<C> {
    type Place = PoolKey;
    type Stream = C::Stream;

    async fn open(
        &self,
        asked: &Asked,
        _: &Destination,
        config: &RelayConfig,
    ) -> Result<Opened<PoolKey, C::Stream>, Failure> {
        asked.sets_out(None);
        let connect = &*self.connect;
        let choose =
            |deadline| async move { Ok(connect.pool_key(asked.connect_request().until(deadline)).await) };
        let place = within(config, choose).await?;
        if let Some(place) = place {
            if let Some(connection) = taken(&self.idle, &place, asked).await {
                return Ok(Opened::kept(connection, place));
            }
        }
        let request = match place {
            None => asked.connect_request(),
            // The connection is for this request, and for any other after it. The choice of the place has begun the attempt.
            Some(place) => asked.connect_request_untracked().pooled(place),
        };
        // Boxed, because it is rare: it would set the size of what is common.
        let connecting = fresh(asked, config, |deadline| connect.connect(request.until(deadline)));
        let stream = Box::pin(connecting).await?;
        Ok(Opened {
            connection: self.idle.opened(stream),
            place,
        })
    }

    fn authority(&self) -> Option<&str> {
        self.connect.authority()
    }

    fn keep(&self, opened: Opened<PoolKey, C::Stream>) {
        if let Some(place) = opened.place {
            self.idle.put(place, opened.connection);
        }
    }
}

impl<K, S> Opened<K, S> {
    fn kept(connection: Connection<S>, place: K) -> Self {
        Opened {
            connection,
            place: Some(place),
        }
    }
}

/// One that waits, unless the request has to have a fresh one.
async fn taken<K, S>(idle: &Idle<K, S>, place: &K, asked: &Asked) -> Option<Connection<S>>
where
    K: Clone + Eq + std::hash::Hash + Send + 'static,
    S: AsyncRead + Unpin + Send + 'static,
{
    if asked.wants_fresh() {
        return None;
    }
    poll_fn(|cx| Poll::Ready(idle.take(cx, place))).await
}

/// A fresh connection, on which the upstream has said nothing.
async fn fresh<S, F>(
    asked: &Asked,
    config: &RelayConfig,
    connect: impl FnOnce(Instant) -> F,
) -> Result<S, Failure>
where
    S: AsyncRead + Unpin,
    F: Future<Output = Result<S, ConnectError>>,
{
    let began = Stopwatch::start();
    let mut stream = within(config, connect).await?;
    asked.connected();
    telemetry::connected(Kind::Request, began);
    match unasked(&mut stream).await {
        None => Ok(stream),
        Some(error) => Err(error.into()),
    }
}

/// What a step of connecting comes to in its time.
async fn within<T, F>(config: &RelayConfig, step: impl FnOnce(Instant) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, ConnectError>>,
{
    let limit = config.connect_limit();
    let deadline = Instant::now().after(limit);
    wire::by(|| deadline, pin!(step(deadline)))
        .await
        .map_err(|_| Failure::new(Phase::Connect, Cause::TimedOut(limit)))?
        .map_err(|error| Failure::new(Phase::Connect, error))
}

/// Connects to the authority of a URI, by TCP or by TLS.
async fn connect(uri: &Uri, config: &RelayConfig) -> Result<AnyStream, ConnectError> {
    #[cfg(feature = "rustls")]
    if uri.scheme() == Some(&Scheme::HTTPS) {
        let invalid = |source, hint| ConnectError::Tls {
            name: uri.host().unwrap_or_default().to_owned(),
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
        let connect = TlsConnect::to(with_port(uri, 443), tls).map_err(|error| {
            let source = io::Error::new(io::ErrorKind::InvalidInput, error);
            invalid(source, "Name the destination by a host or an address.")
        })?;
        return connect.stream().await.map(AnyStream::new);
    }
    #[cfg(not(feature = "rustls"))]
    let _ = config;
    let name = with_port(uri, 80);
    let connect: TcpConnect = name.parse().map_err(|error: AddressError| {
        let error = io::Error::new(io::ErrorKind::InvalidInput, error);
        ConnectError::Failed { name, error }
    })?;
    connect.stream().await.map(AnyStream::from)
}

/// Host and port. What stands in the place of a port and is none stays there, for the error that says so.
fn with_port(uri: &Uri, usual: u16) -> String {
    let (authority, host) = (uri.authority().map_or("", Authority::as_str), uri.host());
    let host = host.unwrap_or_default();
    let behind_user = authority.rsplit_once('@').map_or(authority, |(_, behind)| behind);
    match behind_user.strip_prefix(host) {
        None | Some("" | ":") => format!("{host}:{usual}"),
        Some(port) => format!("{host}{port}"),
    }
}

/// All connections of a relay or of a proxy.
pub(in crate::service) enum Sources<C: Connect> {
    Named(Named),
    Through(Through<C>),
}

impl<C: Connect + 'static> Sources<C> {
    /// To where a connector leads.
    pub(in crate::service) fn through(connect: Arc<C>, tasks: Tasks, config: &RelayConfig) -> Self {
        Sources::Through(Through::new(connect, tasks, config.keeping()))
    }

    /// The same with another executor, and without the connections that wait.
    pub(super) fn on(&self, tasks: Tasks, config: &RelayConfig) -> Self {
        match self {
            Sources::Named(_) => Sources::Named(Named::new(tasks, config.keeping())),
            Sources::Through(through) => Sources::through(through.connect.clone(), tasks, config),
        }
    }
}

impl<C: Connect> fmt::Debug for Sources<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sources::Named(_) => "Named",
            Sources::Through(_) => "Through",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_destination() {
        for (uri, expected) in [
            ("http://a/", "a:80"),
            ("http://a:/", "a:80"),
            ("http://a:9000/", "a:9000"),
            ("http://9:9/", "9:9"),
            ("http://[::1]/", "[::1]:80"),
            ("http://[::1]:9/", "[::1]:9"),
            ("http://me@a:9/", "a:9"),
            // Not port 80.
            ("http://a:99999/", "a:99999"),
        ] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(with_port(&uri, 80), expected);
        }
        assert!("a:99999".parse::<TcpConnect>().is_err());
    }
}
