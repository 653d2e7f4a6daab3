//! Floor 5, the raw door: serves HTTP/1.1 connections of one's own listener, from the first byte to the tunnel's end.
//!
//! [`Gateway::serve`] walks all steps with one [`Connect`]. [`Acceptor::accept`] stops after step (3) and hands the
//! upgrade over as an [`Incoming`], for gateways that choose the upstream by the request. Ordinary requests come back
//! untouched, with every byte still to be read.
//!
//! For a log of each request, take the [`Acceptor`]: it has the head, of refused requests too, and an [`Incoming`] takes a
//! [`Trace`](crate::connect::Trace), which records the upstreams that were tried, the times, and what the client was sent.
//!
//! ```no_run
//! use std::time::Duration;
//! use switchover::connect::TcpConnect;
//! use switchover::gateway::{Gateway, Outcome, next_connection};
//! use switchover::tunnel::TunnelConfig;
//!
//! # async fn run(listener: tokio::net::TcpListener) {
//! let gateway = Gateway::builder(TcpConnect::to("127.0.0.1:9000"))
//!     .tunnel(TunnelConfig::default().idle_timeout(Duration::from_secs(75)))
//!     .build();
//! loop {
//!     let (client, peer) = next_connection(&listener).await;
//!     let gateway = gateway.clone();
//!     tokio::spawn(async move {
//!         match gateway.serve(client, peer).await {
//!             Ok(Outcome::Tunnelled { protocol, traffic }) => println!("{peer} {protocol}: {traffic}"),
//!             Ok(Outcome::Rejected(why)) => println!("{peer}: {} {why}: {}", why.status(), why.hint()),
//!             Ok(Outcome::Declined(status)) => println!("{peer}: the origin said {status}"),
//!             Ok(Outcome::Ordinary(head, _stream)) => println!("{peer}: {} {}, no upgrade", head.method, head.uri),
//!             Ok(_) => {}
//!             Err(error) => eprintln!("{peer}: {} failed {}: {error}", error.phase(), error.side()),
//!         }
//!     });
//! }
//! # }
//! ```

mod accept;
mod answer;
mod answered;
mod config;
mod established;
mod incoming;
mod listener;
mod proxy;
mod refused;
mod relayed_body;
mod request_head;

pub use accept::{Accepted, Acceptor};
pub use answered::{Answered, Unanswered};
pub use config::{Builder, GatewayConfig};
pub use established::{Carrying, Established, Negotiated};
pub use incoming::Incoming;
pub use listener::next_connection;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connect::Connect;
use crate::error::Error;
use crate::handshake::Rejection;
use crate::header::{Hop, Protocol};
use crate::http1::RequestHead;
use crate::tunnel::{Rewind, Traffic};

/// A gateway to one upstream, or to whatever its [`Connect`] chooses. Cheap to clone.
#[derive(Debug)]
pub struct Gateway<C> {
    acceptor: Acceptor,
    connect: Arc<C>,
}

impl<C> Clone for Gateway<C> {
    fn clone(&self) -> Self {
        Gateway {
            acceptor: self.acceptor.clone(),
            connect: self.connect.clone(),
        }
    }
}

/// How serving a connection has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<S> {
    /// The protocol was switched, and the tunnel has ended.
    Tunnelled {
        /// What both sides spoke.
        protocol: Protocol,
        /// How much, for how long, and why it ended.
        traffic: Traffic,
    },
    /// The request was refused by the proxy; no upstream was asked.
    Rejected(Rejection),
    /// The origin has answered with another status than 101; the answer has been relayed whole.
    Declined(StatusCode),
    /// Not an upgrade. The head is for deciding what to do; the stream reads from the head's first byte on.
    Ordinary(Box<RequestHead>, Rewind<S>),
    /// The client has closed the connection, or let the header deadline or a drain pass, without sending a byte.
    Closed,
}

impl<C: Connect> Gateway<C> {
    /// Starts to build a gateway.
    pub fn builder(connect: C) -> Builder<C> {
        Builder::new(connect)
    }

    /// The first half of this gateway: for [answering](Acceptor::respond) what comes back as [`Outcome::Ordinary`].
    #[must_use]
    pub fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }

    pub(super) fn new(config: GatewayConfig, connect: C) -> Self {
        Gateway {
            acceptor: Acceptor::new(config),
            connect: Arc::new(connect),
        }
    }

    /// Serves one connection to its end. `hop` is the peer's address, or more ([`Hop`]).
    ///
    /// # Errors
    ///
    /// The phase and side that failed. The client has been answered 502 or 504 where an answer was possible
    /// ([`Error::status`]), and both connections are closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes both connections; nothing goes on in the background.
    pub async fn serve<S>(&self, stream: S, hop: impl Into<Hop>) -> Result<Outcome<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve_until(stream, hop, std::future::pending()).await
    }

    /// Serves one connection to its end, and ends its tunnel in order when `drain` completes, such as a
    /// [`Drain`](crate::tunnel::Drain)'s signal. A client that has not sent a byte by then is closed.
    ///
    /// # Errors
    ///
    /// As [`serve`](Gateway::serve).
    ///
    /// # Cancel safety
    ///
    /// As [`serve`](Gateway::serve).
    pub async fn serve_until<S, F>(
        &self,
        stream: S,
        hop: impl Into<Hop>,
        drain: F,
    ) -> Result<Outcome<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = ()>,
    {
        let hop = hop.into();
        let mut drain = pin!(drain);
        // Boxed and gone before the tunnel: its future is as large as its largest state.
        match Box::pin(self.acceptor.accept_until(stream, hop, drain.as_mut())).await? {
            Accepted::Upgrade(incoming) => incoming.proxy_until(&*self.connect, drain).await,
            Accepted::Ordinary(head, stream) => Ok(Outcome::Ordinary(head, stream)),
            Accepted::Rejected(rejection, _) => Ok(Outcome::Rejected(rejection)),
            Accepted::Closed => Ok(Outcome::Closed),
        }
    }
}
