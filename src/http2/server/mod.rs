//! HTTP/2 towards clients: a connection with a deadline on every wait, whose requests a tower service answers.
//!
//! Below a service it replaces hyper's HTTP/2 server, which this crate cannot bound from outside: the deadlines, what may wait
//! in memory for a client that does not read, and the stream of an extended CONNECT without a task of its own in between.

mod answer;
mod body;
mod clock;
mod config;
mod connection;
mod interim;
mod open;
mod stream;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;

use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use super::pool::Task;
pub use body::RequestBody;
pub use config::Http2ServerConfig;
pub(crate) use interim::InterimResponses;
pub use stream::{ConnectStream, Http2ServerStream};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves HTTP/2 to clients, each request by a tower service: one of this crate's, or an axum `Router`. Cheap to clone.
///
/// 1. A connection begins with HTTP/2's preface: by prior knowledge on a plain socket, or after `h2` was agreed on by ALPN.
/// 2. Each request is given to the service, in a task of its own. RFC 8441 is enabled, unless
///    [`Http2ServerConfig::extended_connect`] says otherwise: an extended CONNECT arrives as hyper
///    hands it over, with a [`hyper::ext::Protocol`] among its extensions, and a [`ConnectStream`] in place of hyper's
///    `OnUpgrade`. The services of this crate take either.
/// 3. Every wait has a deadline of the [configuration](Http2ServerConfig): a connection without a request, one that is
///    asked for nothing more, one that does not answer a PING, one that does not let go after GOAWAY, and an answer that its
///    client does not take.
/// 4. No more than 64 KiB of an answer or a tunnel wait in memory for a client that does not read
///    ([`Http2ServerConfig::send_buffer`]).
///
/// `Connection` and what belongs to it is removed from responses, as RFC 9113, section 8.2.2 wants it, and `Date` added where
/// it is missing.
///
/// ```no_run
/// use std::future::pending;
///
/// use axum::Router;
/// use switchover::TcpConnect;
/// use switchover::http2::{Http2Server, Http2ServerConfig};
/// use switchover::service::ReverseProxy;
///
/// # async fn serve(stream: tokio::net::TcpStream) -> std::io::Result<()> {
/// let app: Router = Router::new().fallback_service(ReverseProxy::new(TcpConnect::to("app.internal:3000")));
/// let server = Http2Server::new(Http2ServerConfig::default());
/// let end = server.serve(stream, app, pending()).await?;
/// println!("{end}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Http2Server {
    config: Arc<Http2ServerConfig>,
    executor: Arc<dyn Executor<Task> + Send + Sync>,
}

/// Among the extensions of every request: its answer needs no deadline of the service's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paces;

/// Why a connection has ended, if not by a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Http2End {
    /// The client has closed it, or all that was asked for before GOAWAY has been answered.
    Closed,
    /// No request within [`Http2ServerConfig::header_timeout`].
    HeaderTimeout,
    /// No request was open for [`Http2ServerConfig::idle_timeout`].
    IdleTimeout,
    /// A PING was not answered within [`Http2ServerConfig::ping_timeout`].
    PingTimeout,
    /// It was shut down, and the client has not let go of it within [`Http2ServerConfig::close_timeout`].
    CloseTimeout,
}

impl fmt::Display for Http2End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Http2End::Closed => "closed in order",
            Http2End::HeaderTimeout => "the client has sent no request in time",
            Http2End::IdleTimeout => "the client has left the connection idle",
            Http2End::PingTimeout => "the client does not answer a PING",
            Http2End::CloseTimeout => "the client does not close the connection",
        })
    }
}

impl Http2Server {
    /// A server with these settings, whose tasks run on tokio.
    #[must_use]
    pub fn new(config: Http2ServerConfig) -> Self {
        Http2Server {
            config: Arc::new(config),
            executor: Arc::new(TokioExecutor::new()),
        }
    }

    /// What runs the task of each request. Default: [`tokio::spawn`]. A task ends with its answer, or when its stream is a
    /// tunnel's. The tasks need tokio's timers.
    #[must_use]
    pub fn executor(mut self, executor: impl Executor<Task> + Send + Sync + 'static) -> Self {
        self.executor = Arc::new(executor);
        self
    }

    /// Serves a connection to its end.
    ///
    /// Set `TCP_NODELAY` on the socket below. Without it a message waits until the client has acknowledged the one before it, which can
    /// be 40 ms, whenever messages of several tunnels follow each other. On Linux a socket has the option of its listener. What is ready
    /// at one time is written with one call.
    ///
    /// When `drain` completes, the client is sent a GOAWAY, and what it has asked for before is answered;
    /// [`std::future::pending`] never does. Tunnels are not ended by it: a service has its own drain for them.
    ///
    /// # Errors
    ///
    /// The client does not speak HTTP/2, has broken its rules, has exceeded a limit, or the stream has failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection. Requests under way are given up, and tunnels end with
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted).
    pub async fn serve<T, S, B>(
        &self,
        stream: T,
        service: S,
        drain: impl Future<Output = ()>,
    ) -> io::Result<Http2End>
    where
        T: AsyncRead + AsyncWrite + Unpin,
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        connection::serve(self, stream, service, drain).await
    }
}

impl fmt::Debug for Http2Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
