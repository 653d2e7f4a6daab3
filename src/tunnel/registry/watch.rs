//! A look at a tunnel while it runs, and a way to end it. The tunnel writes down what it has moved, and nobody who reads that can hold
//! it up.
//!
//! Knows the numbers of one tunnel, and that it may be asked to end. It must not know how bytes move.

use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::TunnelId;
use super::entry::Entry;
use crate::side::Side;
use crate::tunnel::end::End;
use crate::tunnel::websocket::{EndRequest, FrameCounts, RoundTrips};

/// A look at one tunnel while it runs, and a way to end it: from [`Tunnel::watch`](crate::tunnel::Tunnel::watch) and from a
/// [registry](super::Tunnels).
///
/// Cheap to clone, and of use from any thread. A watched tunnel costs 144 bytes more; with every message that moves it stores the new
/// numbers, without a lock. A tunnel that nobody watches pays nothing.
///
/// ```
/// use switchover::tunnel::{End, Tunnel};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ((mut client, downstream), (upstream, mut origin)) = (tokio::io::duplex(64), tokio::io::duplex(64));
/// let mut tunnel = Tunnel::new(downstream, upstream);
/// let watch = tunnel.watch();
/// let tunnel = tokio::spawn(tunnel.run());
///
/// client.write_all(b"hello").await?;
/// origin.read_exact(&mut [0; 5]).await?;
/// assert_eq!((watch.from_downstream(), watch.from_upstream()), (5, 0));
/// println!("last byte {:?} ago", watch.last_activity().elapsed());
///
/// watch.end();
/// assert_eq!(tunnel.await??.end(), End::Requested);
/// assert!(!watch.is_open());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TunnelWatch {
    pub(super) entry: Arc<Entry>,
}

/// How far a tunnel has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TunnelState {
    /// Both directions are open.
    Open,
    /// One side has ended its stream, and the other goes on.
    HalfClosed,
    /// It is about to end: what was read is delivered, or the Closes of both sides are waited for.
    Draining,
    /// It has ended.
    Ended,
}

impl TunnelState {
    /// In a word, for logs and metrics: `open`, `half-closed`, `draining`, `ended`. None of them changes in a minor version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TunnelState::Open => "open",
            TunnelState::HalfClosed => "half-closed",
            TunnelState::Draining => "draining",
            TunnelState::Ended => "ended",
        }
    }
}

impl TunnelWatch {
    /// Which tunnel it is, in its [registry](super::Tunnels). `None` if it is in none.
    #[must_use]
    pub fn id(&self) -> Option<TunnelId> {
        Some(self.entry.id).filter(|id| *id != TunnelId::UNLISTED)
    }

    /// The client's address, as its [`Listing`](super::Listing) says.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.entry.client()
    }

    /// The client's port, where it is known.
    #[must_use]
    pub fn client_port(&self) -> Option<u16> {
        self.entry.client_port()
    }

    /// What the server is called that it leads to.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        self.shared_upstream().map(|name| &**name)
    }

    pub(crate) fn shared_upstream(&self) -> Option<&Arc<str>> {
        self.entry.kind.as_ref()?.upstream.as_ref()
    }

    /// What the group is called that this server is one of, as [`upstream::Builder::name`](crate::upstream::Builder::name) has it.
    /// `None` where it has no name, or there is no group.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.entry.kind.as_ref()?.group.as_deref()
    }

    /// The [place](crate::upstream::ServerStatus::place) of that server in its group. `None` where there is no group.
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        self.entry.kind.as_ref()?.place
    }

    /// What both sides speak.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.entry.kind.as_ref()?.protocol.as_deref()
    }

    /// What the caller has called it, if that is of this type.
    #[must_use]
    pub fn label<T: Any>(&self) -> Option<&T> {
        self.entry.label()?.downcast_ref()
    }

    /// How far it has come.
    #[must_use]
    pub fn state(&self) -> TunnelState {
        match () {
            () if !self.entry.is_open() => TunnelState::Ended,
            () if self.entry.is_ending() => TunnelState::Draining,
            () if self.entry.is_half_closed() => TunnelState::HalfClosed,
            () => TunnelState::Open,
        }
    }

    /// When the watch was made, which for a tunnel of a registry is when both sides had agreed.
    #[must_use]
    pub fn opened_at(&self) -> Instant {
        self.entry.made_at
    }

    /// Bytes that came from downstream and that the upstream stream has accepted so far.
    ///
    /// Each number is right by itself; they need not be from the same moment. They stay when the tunnel has ended, and
    /// are then those of its [`Traffic`](crate::tunnel::Traffic).
    #[must_use]
    pub fn from_downstream(&self) -> u64 {
        self.entry.bytes(Side::Downstream).load(Ordering::Relaxed)
    }

    /// Bytes that came from upstream and that the downstream stream has accepted so far.
    #[must_use]
    pub fn from_upstream(&self) -> u64 {
        self.entry.bytes(Side::Upstream).load(Ordering::Relaxed)
    }

    /// When the last byte moved in either direction; before the first one, when the watch was made. Exact to 10 ms.
    #[must_use]
    pub fn last_activity(&self) -> Instant {
        let [downstream, upstream] =
            [Side::Downstream, Side::Upstream].map(|side| self.last_activity_from(side));
        downstream.max(upstream)
    }

    /// When the last byte from this side moved; before the first one, when the watch was made. Exact to 10 ms.
    #[must_use]
    pub fn last_activity_from(&self, side: Side) -> Instant {
        self.entry.moved_at(side)
    }

    /// What was counted of the frames that this side has sent. `None` where the tunnel does not
    /// [know them](crate::tunnel::Tunnel::websocket).
    ///
    /// Each number is right by itself; they need not be from the same moment.
    #[must_use]
    pub fn frame_counts(&self, side: Side) -> Option<FrameCounts> {
        Some(self.entry.frames()?.counts(side))
    }

    /// How long this side took to answer pings of the tunnel's own. `None` where frames are not known.
    #[must_use]
    pub fn round_trips(&self, side: Side) -> Option<RoundTrips> {
        Some(self.entry.frames()?.round_trips(side))
    }

    /// How many frames this side has sent. `None` where the tunnel does not [know them](crate::tunnel::Tunnel::websocket).
    #[must_use]
    pub fn frames_from(&self, side: Side) -> Option<u64> {
        Some(self.frame_counts(side)?.all_frames())
    }

    /// How many messages this side has sent to their ends, or at least their last frames' headers. `None` where frames are not known.
    #[must_use]
    pub fn messages_from(&self, side: Side) -> Option<u64> {
        Some(self.frame_counts(side)?.all_messages())
    }

    /// How long this side took to answer the last ping that it has answered. `None` where there was none.
    #[must_use]
    pub fn round_trip(&self, side: Side) -> Option<Duration> {
        self.round_trips(side)?.last()
    }

    /// Whether the tunnel may still carry anything: until its future has completed or was dropped.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.entry.is_open()
    }

    /// Ends this tunnel in order, as a [drain](crate::tunnel::Tunnel::drain) does, with [`End::Requested`](crate::tunnel::End::Requested); with
    /// a Close 1001 to both sides if it [knows its frames](crate::tunnel::Tunnel::websocket).
    ///
    /// Returns at once; the tunnel is [open](TunnelWatch::is_open) until what was read has been delivered. Before the
    /// tunnel runs, it takes effect when it does. Of no effect on a tunnel that is about to end for another reason.
    pub fn end(&self) {
        self.end_with(&EndRequest::default());
    }

    /// The same, with another Close.
    pub fn end_with(&self, request: &EndRequest) {
        self.end_at(self.entry.made_at, End::Requested, request.clone());
    }

    /// Whether it is to end at some time, its expiry aside, or is about to.
    #[cfg(feature = "gateway")]
    pub(crate) fn is_to_end(&self) -> bool {
        self.entry.is_to_end()
    }

    pub(super) fn end_at(&self, at: Instant, why: End, request: EndRequest) {
        self.entry.end_at(at, why, request);
    }

    /// Ends the tunnel at this instant with [`End::Expired`](crate::tunnel::End::Expired), and with a Close 1008 to both sides if it
    /// knows its frames: when its credential is no longer valid. `None`: never, which is the default.
    ///
    /// May be called again at any time, and then holds in place of what was said before: a credential that is renewed keeps its
    /// tunnel. Exact to 10 ms, and never early; an instant that has passed ends the tunnel at once, one further away than 497 days
    /// from the start does not. It shares the one timer of the tunnel.
    pub fn expire_at(&self, at: impl Into<Option<Instant>>) {
        self.expire_with(at, &EndRequest::default());
    }

    /// The same, with another Close.
    pub fn expire_with(&self, at: impl Into<Option<Instant>>, request: &EndRequest) {
        self.entry.expire_at(at.into(), request.clone());
    }
}

impl fmt::Debug for TunnelWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelWatch")
            .field("id", &self.id())
            .field("upstream", &self.upstream())
            .field("from_downstream", &self.from_downstream())
            .field("from_upstream", &self.from_upstream())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
