//! Steps (1) to (3) of the walk: a connection is read to the end of a request head within its deadline, and this file
//! decides what the request is. It must not know upstreams, nor how a request is answered that is refused.

use std::fmt;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use http::Method;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::answer::Client;
use super::config::GatewayConfig;
use super::incoming::Incoming;
use super::refused::{OnRejection, Refused};
use super::request_head::{HeadFailure, ReadHead, read_head, take_head};
use crate::clock::After;
use crate::error::{Error, Phase};
use crate::handshake::{Rejection, UpgradeRequest};
use crate::header::{Forwarding, Hop};
use crate::http1::{HeadScan, RequestHead};
use crate::side::Side;
use crate::tunnel::Rewind;
use crate::wire::{self, First};

/// Takes connections as far as step (3), so that the caller chooses the upstream. Cheap to clone.
///
/// Where policies and deadlines depend on the route, the listener has an acceptor whose policy allows no protocol at all, and
/// each route has one of its own. What the first returns as ordinary and [wants an upgrade](crate::handshake::wants_upgrade)
/// goes to [`resume`](Acceptor::resume) of the route's: its stream begins with the head that has been read already.
#[derive(Clone)]
pub struct Acceptor {
    pub(super) config: Arc<GatewayConfig>,
    pub(super) on_rejection: Option<Arc<OnRejection>>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What a connection turned out to ask for.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller must decide about the connection in each of them"
)]
pub enum Accepted<S> {
    /// An upgrade that the policy allows, to be proxied or refused.
    Upgrade(Box<Incoming<S>>),
    /// Not an upgrade. The stream reads from the head's first byte on.
    Ordinary(Box<RequestHead>, Rewind<S>),
    /// Refused, answered and closed. The head is there if it was whole and sound.
    Rejected(Rejection, Option<Box<RequestHead>>),
    /// Closed by the client, or by the header deadline, without one byte.
    Closed,
}

impl Acceptor {
    /// An acceptor with this configuration.
    pub fn new(config: GatewayConfig) -> Self {
        Acceptor {
            config: Arc::new(config),
            on_rejection: None,
        }
    }

    /// What the origin is sent beside the client's own fields, for the caller that relays the ordinary requests
    /// ([`Relay::forwarding`](crate::service::Relay::forwarding)).
    #[must_use]
    pub fn forwarding(&self) -> &Forwarding {
        &self.config.forwarding
    }

    /// Reads one request head and decides what it is. A request that must be refused has been answered and its
    /// connection closed when this returns.
    ///
    /// # Errors
    ///
    /// The client's stream fails or ends within the head, or its answer cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub fn accept<S>(
        &self,
        stream: S,
        hop: impl Into<Hop>,
    ) -> impl Future<Output = Result<Accepted<S>, Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.accept_until(stream, hop, pending())
    }

    /// As [`accept`](Acceptor::accept), and gives up a client that has not begun a request when `drain` completes.
    ///
    /// # Errors
    ///
    /// As [`accept`](Acceptor::accept).
    ///
    /// # Cancel safety
    ///
    /// As [`accept`](Acceptor::accept).
    pub fn accept_until<S, F>(
        &self,
        stream: S,
        hop: impl Into<Hop>,
        drain: F,
    ) -> impl Future<Output = Result<Accepted<S>, Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        F: Future<Output = ()>,
    {
        let client = Client::new(stream, self.config.send_timeout);
        let deadline = Instant::now().after(self.config.header_timeout);
        self.accept_begun(client, hop.into(), deadline, Some(deadline), drain)
    }

    /// Goes on with a connection that has carried a request before: what follows it, and then the stream.
    ///
    /// The next head may take until the keep-alive deadline to begin, and from then on until the header deadline. A
    /// connection that has sent nothing by the former, or when `drain` completes, is closed. Empty lines do not begin a head (RFC
    /// 9112, section 2.2).
    ///
    /// A request that has begun when `drain` completes is served: its answer ends the connection where the relay has the same drain
    /// ([`RelayConfig::drain`](crate::service::RelayConfig::drain)). Danger: without that a client whose next request is always there
    /// already never ends.
    ///
    /// # Errors
    ///
    /// As [`accept`](Acceptor::accept).
    ///
    /// # Cancel safety
    ///
    /// As [`accept`](Acceptor::accept).
    pub fn resume_until<S, F>(
        &self,
        stream: Rewind<S>,
        hop: impl Into<Hop>,
        drain: F,
    ) -> impl Future<Output = Result<Accepted<S>, Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        F: Future<Output = ()>,
    {
        let mut stream = stream;
        let timer = stream.take_timer();
        let (stream, early) = stream.into_parts();
        let mut client = Client::new(stream, self.config.send_timeout);
        client.timer = timer;
        client.early.extend_from_slice(&early);
        drop(early);
        let keep_alive = Instant::now().after(self.config.keep_alive_timeout);
        self.accept_begun(client, hop.into(), keep_alive, None, drain)
    }

    /// Waits for the first byte until `begins_by`, and for the rest of the head until `deadline`, or for the header timeout.
    ///
    /// No `async fn`, which would hold each argument twice: a connection that says nothing is as small as this wait. What comes
    /// after it is boxed.
    #[allow(clippy::manual_async_fn)]
    fn accept_begun<S, F>(
        &self,
        mut client: Client<S>,
        hop: Hop,
        begins_by: Instant,
        deadline: Option<Instant>,
        drain: F,
    ) -> impl Future<Output = Result<Accepted<S>, Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        F: Future<Output = ()>,
    {
        async move {
            let mut drain = pin!(drain);
            while !has_begun(&mut client.early) {
                let read = wire::read_some(&mut client.stream, &mut client.early, usize::MAX);
                let read = pin!(read);
                let begun = pin!(wire::first(read, drain.as_mut()));
                let begun = client.timer.limit(begins_by, begun).await;
                if !matches!(begun, Some(First::Left(Ok(count))) if count > 0) {
                    // A connection that ends without a request, in whatever way, has done nothing wrong.
                    return Ok(Accepted::Closed);
                }
            }
            let undecided = match self.begin(client, hop) {
                Ok(accepted) => return Ok(accepted),
                Err(undecided) => undecided,
            };
            Box::pin(self.finish(*undecided, hop, deadline)).await
        }
    }

    /// What the request is, if its head has come whole, as most do, and need not be refused.
    fn begin<S>(&self, mut client: Client<S>, hop: Hop) -> Result<Accepted<S>, Box<Undecided<S>>> {
        let mut scan = HeadScan::request();
        let undecided = match take_head(&mut client, &mut scan, &self.config.request_limits) {
            Ok(Some(head)) => match self.decide(client, head, hop) {
                Ok(accepted) => return Ok(accepted),
                Err(refused) => Undecided::Refused(refused),
            },
            Ok(None) => Undecided::Partial(client, scan),
            Err(rejection) => Undecided::Refused(Refused::new(client, rejection, None)),
        };
        Err(Box::new(undecided))
    }

    /// As [`resume_until`](Acceptor::resume_until), without a drain.
    ///
    /// # Errors
    ///
    /// As [`accept`](Acceptor::accept).
    ///
    /// # Cancel safety
    ///
    /// As [`accept`](Acceptor::accept).
    pub fn resume<S>(
        &self,
        stream: Rewind<S>,
        hop: impl Into<Hop>,
    ) -> impl Future<Output = Result<Accepted<S>, Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.resume_until(stream, hop, pending())
    }

    /// Reads the rest of a head, and answers a request that is refused.
    async fn finish<S>(
        &self,
        undecided: Undecided<S>,
        hop: Hop,
        deadline: Option<Instant>,
    ) -> Result<Accepted<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut client, scan) = match undecided {
            Undecided::Partial(client, scan) => (client, scan),
            Undecided::Refused(refused) => return self.refuse(refused).await,
        };
        let limits = &self.config.request_limits;
        let deadline = || deadline.unwrap_or_else(|| Instant::now().after(self.config.header_timeout));
        let read = wire::by(deadline, pin!(read_head(&mut client, scan, limits))).await;
        let decided = match read {
            Ok(Ok(head)) => self.decide(client, head, hop),
            Ok(Err(HeadFailure::Stream(cause))) => {
                let error = Error::new(Phase::RequestHead, Side::Downstream, cause);
                error.observed();
                return Err(error);
            }
            Ok(Err(HeadFailure::Rejected(rejection))) => Err(Refused::new(client, rejection, None)),
            Err(_) => Err(Refused::new(client, Rejection::HeadTimeout, None)),
        };
        match decided {
            Ok(accepted) => Ok(accepted),
            Err(refused) => self.refuse(refused).await,
        }
    }

    /// Step (3): what the request is.
    fn decide<S>(
        &self,
        mut client: Client<S>,
        head: ReadHead,
        hop: Hop,
    ) -> Result<Accepted<S>, Box<Refused<S>>> {
        let ReadHead {
            head,
            body,
            read,
            length,
        } = head;
        if *head.method() == Method::CONNECT {
            return Err(Refused::new(client, Rejection::Connect, Some(head)));
        }
        client.head_only = *head.method() == Method::HEAD;
        client.may_half_close = self.config.early_half_close;
        let policy = &self.config.upgrade.policy;
        let request = match UpgradeRequest::parse_checked(&head, body, policy) {
            Ok(Some(request)) => request,
            Ok(None) => {
                let stream = Rewind::measured(client.stream, read, length).timed(client.timer);
                return Ok(Accepted::Ordinary(head, stream));
            }
            Err(rejection) => return Err(Refused::new(client, rejection, Some(head))),
        };
        let located = || {
            self.config
                .forwarding
                .forwarded_rules()
                .locate_by(hop, head.fields())
        };
        let admission = match self.config.upgrade.admit(located) {
            Ok(admission) => admission,
            Err(rejection) => return Err(Refused::new(client, rejection, Some(head))),
        };
        // What has come behind the head is the client's early data: a copy, which does not hold on to the head.
        client.early = BytesMut::from(&read[length..]);
        Ok(Accepted::Upgrade(Box::new(Incoming {
            client,
            request,
            head,
            target: None,
            rules: None,
            hop,
            label: None,
            config: self.config.clone(),
            admission,
        })))
    }
}

/// Whether these are the first bytes of a request. RFC 9112, section 2.2: empty lines before it are ignored. Some clients send one
/// behind a body, and wait with the next request.
fn has_begun(early: &mut BytesMut) -> bool {
    let lines = early.chunks_exact(2).take_while(|two| two == b"\r\n");
    let lines = lines.count() * 2;
    let has_begun = !matches!(&early[lines..], b"" | b"\r");
    if !has_begun {
        early.advance(lines);
    }
    has_begun
}

/// A request that the first bytes do not decide about.
#[allow(
    clippy::large_enum_variant,
    reason = "a value to take apart at once, in a box on its way there"
)]
enum Undecided<S> {
    /// The head is not whole.
    Partial(Client<S>, HeadScan),
    Refused(Box<Refused<S>>),
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_connection_that_has_not_said_anything_is_small() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = stream.local_addr().unwrap();
        let acceptor = Acceptor::new(GatewayConfig::default());
        let size = size_of_val(&acceptor.accept(stream, peer));
        assert!(size <= 448, "{size} bytes");
    }
}
