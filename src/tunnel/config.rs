//! The law of how long a tunnel may wait, and for what.
//!
//! Knows durations only: what has moved and when is the engine's business.

use std::time::Duration;

/// How long a tunnel waits for what. Every limit can be turned off with `None`.
///
/// All limits of one tunnel share one timer that is armed at most a few times per limit, never per message, so a
/// limit costs about a hundred bytes per tunnel once and nothing per byte. With every limit off there is no timer
/// at all, and the tunnel runs on a runtime without one.
///
/// ```
/// use std::time::Duration;
/// use switchover::tunnel::TunnelConfig;
///
/// let config = TunnelConfig::default()
///     .idle_timeout(Duration::from_secs(75))
///     .lifetime(Duration::from_secs(24 * 60 * 60))
///     .stalled_write_timeout(None);
/// assert_eq!(config.get_idle_timeout(), Some(Duration::from_secs(75)));
/// assert_eq!(config.get_linger_timeout(), Some(Duration::from_secs(30)));
/// assert_eq!(config.get_stalled_write_timeout(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelConfig {
    idle: Option<Duration>,
    stalled_write: Option<Duration>,
    linger: Option<Duration>,
    lifetime: Option<Duration>,
}

impl Default for TunnelConfig {
    fn default() -> Self {
        TunnelConfig {
            idle: Some(Duration::from_secs(5 * 60)),
            stalled_write: Some(Duration::from_secs(60)),
            linger: Some(Duration::from_secs(30)),
            lifetime: None,
        }
    }
}

impl TunnelConfig {
    /// No limit at all: what the plain function uses.
    pub(super) const UNLIMITED: TunnelConfig = TunnelConfig {
        idle: None,
        stalled_write: None,
        linger: None,
        lifetime: None,
    };

    /// The longest time without a byte in *either* direction. Default: 5 minutes.
    ///
    /// A one-way stream that is never answered is not idle. When the limit passes, the tunnel ends with
    /// [`End::Idle`](super::End::Idle).
    ///
    /// Too short, and it ends quiet but healthy connections: a WebSocket whose keep-alive ping is due every 60 s
    /// needs more than 60 s here. `None` keeps a connection whose peer has vanished without a word (power loss, a
    /// forgetful NAT) until the operating system notices, which without TCP keep-alive is never.
    #[must_use]
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle = limit.into();
        self
    }

    /// The longest time that bytes may wait for a side that does not accept any. Default: 60 seconds.
    ///
    /// Progress is counted in bytes accepted, not in wake-ups, so a peer that keeps its receive window at zero is
    /// caught however lively its acknowledgements are; a slow reader that takes a byte now and then is not. When the
    /// limit passes, the tunnel ends with [`End::Stalled`](super::End::Stalled), and the bytes that waited are lost:
    /// on a plain TCP socket that side sees a reset.
    ///
    /// The clock only starts when the operating system's send buffer is full. `None` leaves a peer that never reads
    /// to the idle limit.
    #[must_use]
    pub fn stalled_write_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.stalled_write = limit.into();
        self
    }

    /// After one direction has ended, the longest time without a byte in the other. Default: 30 seconds.
    ///
    /// Any byte re-arms it, so a long answer after a half-close arrives whole. When it passes, the tunnel ends with
    /// [`End::Lingered`](super::End::Lingered). The same limit, this time re-armed by nothing, bounds how long a
    /// tunnel that drains or has failed on one side keeps delivering to the other.
    ///
    /// Too short, and it cuts off an origin that thinks before it answers a half-closed client. `None` lets a
    /// vanished peer hold a half-closed tunnel until the idle limit, and makes a reset that has to be passed on
    /// leave at once, at the risk of overtaking the last bytes before it.
    #[must_use]
    pub fn linger_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.linger = limit.into();
        self
    }

    /// The longest time that the tunnel may exist, however busy it is. Default: none.
    ///
    /// For deployments where a credential expires or load must be rebalanced. When it passes, the tunnel ends with
    /// [`End::Lifetime`](super::End::Lifetime), in the middle of a message if need be.
    #[must_use]
    pub fn lifetime(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.lifetime = limit.into();
        self
    }

    /// The [idle limit](TunnelConfig::idle_timeout); `None` is no limit.
    pub fn get_idle_timeout(&self) -> Option<Duration> {
        self.idle
    }

    /// The [stalled-write limit](TunnelConfig::stalled_write_timeout); `None` is no limit.
    pub fn get_stalled_write_timeout(&self) -> Option<Duration> {
        self.stalled_write
    }

    /// The [linger limit](TunnelConfig::linger_timeout); `None` is no limit.
    pub fn get_linger_timeout(&self) -> Option<Duration> {
        self.linger
    }

    /// The [lifetime limit](TunnelConfig::lifetime); `None` is no limit.
    pub fn get_lifetime(&self) -> Option<Duration> {
        self.lifetime
    }
}
