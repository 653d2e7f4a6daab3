//! The deadlines and limits of a relay, and their defaults.

use std::time::Duration;

use crate::http1::HeadLimits;
#[cfg(feature = "rustls")]
use crate::tls::TlsClientConfig;
use crate::tunnel::Drain;

/// Deadlines and limits of a [`Relay`](super::Relay).
///
/// ```
/// use std::time::Duration;
/// use switchover::service::{Relay, RelayConfig};
///
/// let relay = Relay::new(RelayConfig::default().read_timeout(Duration::from_secs(10)));
/// ```
#[derive(Clone, Debug)]
pub struct RelayConfig {
    connect: Duration,
    pub(super) read: Duration,
    head: Option<Duration>,
    send: Duration,
    request_body: Option<Duration>,
    max_request_body: Option<u64>,
    idle: Duration,
    requests_of_connection: Option<u64>,
    connection_age: Option<Duration>,
    pub(super) limits: HeadLimits,
    pub(super) request_limits: HeadLimits,
    pub(super) allow_trace: bool,
    pub(super) early_half_close: bool,
    drain: Option<Drain>,
    #[cfg(feature = "rustls")]
    pub(super) tls: Option<TlsClientConfig>,
}

/// For how many requests a connection to an upstream is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    /// Between two of them.
    pub(super) idle: Duration,
    pub(super) requests: Option<u64>,
    pub(super) age: Option<Duration>,
}

impl Default for RelayConfig {
    fn default() -> Self {
        RelayConfig {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(60),
            head: None,
            send: Duration::from_secs(60),
            request_body: None,
            max_request_body: None,
            idle: Duration::from_secs(4),
            requests_of_connection: None,
            connection_age: None,
            limits: HeadLimits::default(),
            request_limits: HeadLimits::default(),
            allow_trace: false,
            early_half_close: true,
            drain: None,
            #[cfg(feature = "rustls")]
            tls: None,
        }
    }
}

impl RelayConfig {
    /// How long connecting to the upstream may take; then 504. Default 10 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// How long either side may let the relay wait for its next bytes: the upstream for its answer (then 504; another time by
    /// [`head_timeout`](RelayConfig::head_timeout)) and between two reads of its body, the client between two reads of its request's
    /// body. Default 60 seconds.
    #[must_use]
    pub fn read_timeout(mut self, limit: Duration) -> Self {
        self.read = limit;
        self
    }

    /// How long the upstream may take for the head of its answer once it has the whole request; then 504. Interim responses do not
    /// prolong it. Default: none, and the [`read_timeout`](RelayConfig::read_timeout) is for each wait, interim responses
    /// included.
    #[must_use]
    pub fn head_timeout(mut self, limit: Duration) -> Self {
        self.head = Some(limit);
        self
    }

    /// How long the client may refuse to take the next bytes of its response. Default 60 seconds.
    #[must_use]
    pub fn send_timeout(mut self, limit: Duration) -> Self {
        self.send = limit;
        self
    }

    /// How long the client may let the relay wait between two reads of its request's body; then 408, if no response has
    /// begun, and else the response breaks off. Bytes of a response that has begun count as a read. Default: as [`read_timeout`](RelayConfig::read_timeout).
    #[must_use]
    pub fn request_body_timeout(mut self, limit: Duration) -> Self {
        self.request_body = Some(limit);
        self
    }

    /// The most bytes in a request's body, without the framing of chunks. Default: none, no limit.
    ///
    /// A request whose `Content-Length` is beyond it is refused with
    /// [`Rejection::BodyTooLarge`](crate::handshake::Rejection::BodyTooLarge), 413, before any upstream is asked. One
    /// in chunks breaks off upstream when it has become too large, and is a 413 too if no response has begun.
    #[must_use]
    pub fn max_request_body(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_request_body = bytes.into();
        self
    }

    /// How long a connection to an upstream is kept for another request after its last one. Default 4 seconds: shorter than what
    /// servers commonly allow (Node: 5 seconds), so that a request seldom meets a connection that is being closed. Zero: none is
    /// kept, each request has a connection of its own.
    ///
    /// Danger: a request that may not be sent twice (a POST) and meets a connection that its server has just closed is a 502. Stay
    /// below the server's own limit.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// How many requests go over one connection to an upstream before it is closed. Default: none, no limit. The last of them is
    /// answered as all others: it is not announced to the upstream that the connection ends with it.
    ///
    /// A limit spreads clients again over servers that stand behind one address, and frees what a server keeps for a connection.
    #[must_use]
    pub fn max_requests_per_connection(mut self, requests: impl Into<Option<u64>>) -> Self {
        self.requests_of_connection = requests.into();
        self
    }

    /// How old a connection to an upstream may be when it is kept for another request. Default: none, no limit. A request that is
    /// under way goes on however old its connection becomes.
    #[must_use]
    pub fn max_connection_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.connection_age = age.into();
        self
    }

    /// The limits on an upstream's response head: 502 beyond them. Default [`HeadLimits::default`].
    #[must_use]
    pub fn response_limits(mut self, limits: HeadLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The limits on the head of a request that an HTTP server of the caller's has taken in, over HTTP/1.1 and HTTP/2 alike:
    /// 414 or 431 beyond them. Default [`HeadLimits::default`]. The server has limits of its own, which come first.
    ///
    /// Without effect on [`Relay::serve`](super::Relay::serve): the head was read there within limits already.
    #[must_use]
    pub fn request_limits(mut self, limits: HeadLimits) -> Self {
        self.request_limits = limits;
        self
    }

    /// Whether a TRACE goes upstream. Default false: it is answered 405.
    ///
    /// Danger: an origin that answers a TRACE sends the request back as it has come to it, with all that proxies have
    /// added, credentials of theirs among it (RFC 9110, section 9.3.8).
    #[must_use]
    pub fn allow_trace(mut self, allow: bool) -> Self {
        self.allow_trace = allow;
        self
    }

    /// Whether a client that has ended its write side before its answer has come whole from the upstream still gets it. Default true. With
    /// false such a client has left: the upstream is freed, and the connection closes. nginx does that, unless it is configured
    /// `proxy_ignore_client_abort on`.
    ///
    /// An end of the write side cannot be distinguished from a connection that is closed as a whole, so with true the upstream of a client
    /// that has left goes on until it has answered. It holds on raw connections: [`Relay::serve`](super::Relay::serve) and
    /// [`answer_one`](super::answer_one). Elsewhere the HTTP server decides: hyper's `http1::Builder::half_close`.
    #[must_use]
    pub fn allow_early_half_close(mut self, allow: bool) -> Self {
        self.early_half_close = allow;
        self
    }

    /// From the start of this drain on, each answer is the last one on its connection of HTTP/1.x, and says so
    /// (`Connection: close`; RFC 9112, section 9.6). Default: none.
    ///
    /// Without it a client that keeps its connection sends its next request to a process that is about to end. Whether the drain
    /// has started is looked up when the head of an answer is made. A connection of HTTP/2 ends by a GOAWAY instead, which is its
    /// server's business, and hyper's graceful shutdown of an HTTP/1.1 server does the same as this.
    #[must_use]
    pub fn drain(mut self, drain: Drain) -> Self {
        self.drain = Some(drain);
        self
    }

    /// How TLS is spoken to destinations [over TLS](super::Destination::over_tls). Default: not at all; such a
    /// destination is a 502 then.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, config: TlsClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain.as_ref().is_some_and(Drain::has_started)
    }

    pub(super) fn connect_limit(&self) -> Duration {
        self.connect
    }

    /// How long connections to upstreams are kept.
    pub(super) fn keeping(&self) -> Keeping {
        Keeping {
            idle: self.idle,
            requests: self.requests_of_connection,
            age: self.connection_age,
        }
    }

    pub(super) fn read_limit(&self) -> Duration {
        self.read
    }

    /// For the head of an answer, and whether interim responses prolong it.
    pub(super) fn head_limit(&self) -> (Duration, bool) {
        match self.head {
            Some(limit) => (limit, false),
            None => (self.read, true),
        }
    }

    pub(super) fn request_body_limit(&self) -> Duration {
        self.request_body.unwrap_or(self.read)
    }

    pub(super) fn most_of_request_body(&self) -> Option<u64> {
        self.max_request_body
    }

    pub(super) fn send_limit(&self) -> Duration {
        self.send
    }
}
