//! The byte tunnel: moves bytes between two streams, both ways, until there is a reason to end.
//!
//! Knows no HTTP: it can carry any two byte streams, and starts where the protocol switch has been agreed to. For a
//! TCP relay this module is all that is needed.
//!
//! # What it does
//!
//! 1. Bytes that were read too early go out first: [`Tunnel::leftovers`], or a stream in a [`Rewind`].
//! 2. Each direction reads into one buffer that all tunnels of a thread share, and writes from it straight on. Only
//!    what the other side does not take at once, at most 64 KiB, becomes a buffer of the tunnel's own, and until
//!    that is delivered the direction reads no more. An idle tunnel has no buffer.
//! 3. The end of one side's stream is passed on as such, and the other direction goes on: a half-close.
//! 4. A stream that fails is dead in both directions. What it had sent before is still delivered, and then the other
//!    side sees a reset where its stream is a plain [`TcpStream`](tokio::net::TcpStream), and otherwise an end
//!    without closing words: what was cut short never looks complete.
//! 5. [`TunnelConfig`] limits every wait. What ended the tunnel is an [`End`], and how much it carried is in
//!    [`Traffic`], also when it failed.
//! 6. A peer that closes an encrypted stream without its closing words (`UnexpectedEof`: TLS without `close_notify`, as
//!    browsers do) has ended it, and that is passed on as any end is. What a message is, and whether the last one is
//!    whole, only the protocol in the tunnel knows.
//! 7. Many tunnels are the caller's to bound and to end, with values that go together with any of this: a [`Cap`] and
//!    a [`PeerCap`] say how many there may be, a [`Drain`] ends them all in order and not all at once, and a
//!    [`TunnelWatch`] shows one of them while it runs, and ends it. [`Tunnels`] is a registry of many: it lists them, and
//!    ends those that are chosen.
//!
//! 8. A tunnel of WebSocket may [know its frames](Tunnel::websocket). It then keeps its ends awake, and where it is the tunnel that
//!    ends, it says so to both by a Close. One of bytes pays nothing for that.
//!
//! # Which door
//!
//! [`copy_bidirectional`] is the plain function on borrowed streams, without deadlines. [`Tunnel`] owns its streams and
//! has everything else.
//!
//! ```
//! use std::time::Duration;
//! use switchover::tunnel::{Tunnel, TunnelConfig};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut client, downstream) = tokio::io::duplex(1024);
//! let (upstream, mut origin) = tokio::io::duplex(1024);
//! let config = TunnelConfig::default().idle_timeout(Duration::from_secs(75));
//! let tunnel = tokio::spawn(Tunnel::new(downstream, upstream).config(config).run());
//!
//! client.write_all(b"ping").await?;
//! client.shutdown().await?;
//! let mut request = String::new();
//! origin.read_to_string(&mut request).await?;
//! origin.write_all(b"pong!").await?;
//! drop(origin);
//!
//! let traffic = tunnel.await??;
//! assert_eq!((traffic.from_downstream(), traffic.from_upstream()), (4, 5));
//! # Ok(())
//! # }
//! ```

mod builder;
mod config;
mod end;
mod engine;
mod lifecycle;
mod registry;
mod run;
mod stream;
mod traffic;
mod waker_key;
mod websocket;

use std::future::poll_fn;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

pub use builder::Tunnel;
pub use config::{SpliceConfig, TunnelConfig};
pub use end::{End, Operation};
#[cfg(feature = "gateway")]
pub(crate) use engine::Timer;
use engine::{Engine, Ownership};
#[cfg(feature = "hyper")]
pub(crate) use engine::{Scratch, Spliced, Transfer};
pub(crate) use registry::Watched;
pub use registry::{
    Cap, Drain, DrainSignal, Ended, Finished, Iter, Label, Listing, PeerCap, PeerPermit, Permit, Schedule,
    Subscription, TunnelEvent, TunnelId, TunnelIdError, TunnelState, TunnelWatch, Tunnels, WaitEmpty,
};
pub use run::Run;
#[cfg(feature = "hyper")]
pub(crate) use stream::has_unread;
pub use stream::{AnyStream, Counted, Rewind};
#[cfg(feature = "gateway")]
pub(crate) use stream::{read_closed, reset_on_drop};
pub use traffic::{Traffic, TunnelError};
pub use websocket::{
    Compression, Decision, EndRequest, FrameCounts, InjectError, MessageHead, MessageInjector, MessageLimit,
    MessageLimits, MessageTap, Rate, RoundTrips, Tap, Verdict, WebSocketConfig,
};

/// Copies both ways between two borrowed streams until both have ended, without any deadline.
///
/// The ends of both streams are passed on (`poll_shutdown`). If one of them fails, what it had sent is still delivered;
/// and a plain TCP stream is set up so that dropping it resets the connection, because closing it in order would make
/// what was cut short look complete.
///
/// # Errors
///
/// The first failure of a stream, with the byte counts up to it. An orderly end is not an error.
///
/// # Cancel safety
///
/// Bytes read from one stream that the other has not accepted are lost if the future is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use switchover::Side;
/// use switchover::tunnel::{End, copy_bidirectional};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let (mut client, mut downstream) = tokio::io::duplex(64);
/// let (mut upstream, mut origin) = tokio::io::duplex(64);
/// let talk = async {
///     client.write_all(b"all there is").await?;
///     client.shutdown().await?;
///     origin.read_to_end(&mut Vec::new()).await?;
///     origin.shutdown().await
/// };
/// let (traffic, _) = tokio::join!(copy_bidirectional(&mut downstream, &mut upstream), talk);
/// let traffic = traffic?;
/// assert_eq!(traffic.from_downstream(), 12);
/// assert_eq!(traffic.end(), End::Closed { first: Side::Downstream });
/// # Ok(())
/// # }
/// ```
pub async fn copy_bidirectional<D, U>(downstream: &mut D, upstream: &mut U) -> Result<Traffic, TunnelError>
where
    D: AsyncRead + AsyncWrite + Unpin + 'static,
    U: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut engine = Engine::new(Arc::new(TunnelConfig::unlimited()));
    poll_fn(|cx| engine.poll(cx, downstream, upstream, Ownership::Borrowed, None)).await
}
