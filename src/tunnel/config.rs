//! How long a tunnel may wait, and for what.
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
///     .write_timeout(None);
/// assert_eq!(config.idle_limit(), Some(Duration::from_secs(75)));
/// assert_eq!(config.half_close_limit(), Some(Duration::from_secs(30)));
/// assert_eq!(config.write_limit(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelConfig {
    idle: Option<Duration>,
    write: Option<Duration>,
    half_close: Option<Duration>,
    lifetime: Option<Duration>,
    splice: Option<SpliceConfig>,
}

/// How bulk goes from one plain socket to another without being copied: Linux's `splice`, through a pipe.
///
/// It is used only where both ends of a tunnel are plain `TcpStream`s or `UnixStream`s (also in a
/// [`Rewind`](super::Rewind)), and only while a direction is in sustained bulk. Pipes are borrowed from a pool of the
/// thread while bytes are in them, and a tunnel that waits for bytes holds none. If there is no pipe to be had, the
/// bytes are copied.
///
/// ```
/// use switchover::tunnel::{SpliceConfig, TunnelConfig};
///
/// let splice = SpliceConfig::default().max_pipes(64);
/// let config = TunnelConfig::default().splice(splice);
/// assert_eq!(config.splice_config().map(|splice| splice.pipe_limit()), Some(64));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpliceConfig {
    pipe_size: u32,
    max_pipes: u32,
}

impl Default for SpliceConfig {
    fn default() -> Self {
        SpliceConfig {
            pipe_size: 512 * 1024,
            max_pipes: 32,
        }
    }
}

impl SpliceConfig {
    /// The capacity of a pipe in bytes, from 64 KiB to 1 MiB; another is taken as the nearest of these. Default: 512 KiB.
    ///
    /// A larger pipe needs fewer system calls per byte. Linux lets an unprivileged user have 64 MiB of pipes in all
    /// (`fs.pipe-user-pages-soft`) and refuses a larger size than the usual one beyond that; bytes are copied then.
    /// It also bounds what is under way for a receiver that does not read.
    #[must_use]
    pub fn pipe_size(mut self, bytes: u32) -> Self {
        self.pipe_size = bytes.clamp(64 * 1024, 1024 * 1024);
        self
    }

    /// The most pipes that a thread may have with bytes in them, each two descriptors. Default: 32. Beyond that bytes
    /// are copied.
    #[must_use]
    pub fn max_pipes(mut self, pipes: u32) -> Self {
        self.max_pipes = pipes;
        self
    }

    /// The capacity of a pipe in bytes.
    #[must_use]
    pub fn pipe_capacity(&self) -> u32 {
        self.pipe_size
    }

    /// The most pipes that a thread may have with bytes in them.
    #[must_use]
    pub fn pipe_limit(&self) -> u32 {
        self.max_pipes
    }
}

impl Default for TunnelConfig {
    fn default() -> Self {
        TunnelConfig {
            idle: Some(Duration::from_secs(5 * 60)),
            write: Some(Duration::from_secs(60)),
            half_close: Some(Duration::from_secs(30)),
            lifetime: None,
            splice: Some(SpliceConfig::default()),
        }
    }
}

impl TunnelConfig {
    /// No limit at all: what the plain function uses.
    pub(super) fn unlimited() -> Self {
        TunnelConfig {
            idle: None,
            write: None,
            half_close: None,
            lifetime: None,
            splice: Some(SpliceConfig::default()),
        }
    }

    /// The longest time without a byte in *either* direction. Default: 5 minutes.
    ///
    /// A one-way stream that is never answered is not idle. When the limit passes, the tunnel ends with
    /// [`End::Idle`](super::End::Idle).
    ///
    /// Too short, and it ends quiet but healthy connections: a WebSocket whose keep-alive ping is due every 60 s
    /// needs more than 60 s here. `None` keeps a connection whose peer has vanished (power loss, a
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
    /// limit passes, the tunnel ends with [`End::WriteTimeout`](super::End::WriteTimeout), and the bytes that waited are lost:
    /// on a plain TCP socket that side sees a reset. The other side of a tunnel that [knows its frames](super::Tunnel::websocket) is sent
    /// a [Close](super::WebSocketConfig::abnormal_close) first, and may answer it.
    ///
    /// The clock only starts when the operating system's send buffer is full. `None` leaves a peer that never reads
    /// to the idle limit.
    #[must_use]
    pub fn write_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.write = limit.into();
        self
    }

    /// After one direction has ended, the longest time without a byte in the other. Default: 30 seconds.
    ///
    /// Any byte re-arms it, so a long answer after a half-close arrives whole. When it passes, the tunnel ends with
    /// [`End::HalfCloseTimeout`](super::End::HalfCloseTimeout). The same limit, this time re-armed by nothing, bounds how long a
    /// tunnel that drains or has failed on one side keeps delivering to the other.
    ///
    /// Too short, and it cuts off an origin that thinks before it answers a half-closed client. `None` lets a
    /// vanished peer hold a half-closed tunnel until the idle limit, and makes a reset that has to be passed on
    /// leave at once, at the risk of overtaking the last bytes before it.
    #[must_use]
    pub fn half_close_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.half_close = limit.into();
        self
    }

    /// The longest time that the tunnel may exist, however busy it is. Default: none.
    ///
    /// For deployments where a credential expires or load must be rebalanced. When it passes, the tunnel ends with
    /// [`End::Lifetime`](super::End::Lifetime), in the middle of a message if need be, unless it
    /// [knows its frames](super::Tunnel::websocket).
    #[must_use]
    pub fn lifetime(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.lifetime = limit.into();
        self
    }

    /// How bulk between two plain sockets is spliced; `None` copies it. Default: [`SpliceConfig::default`], with the
    /// feature `splice` on Linux. Elsewhere it has no effect.
    #[must_use]
    pub fn splice(mut self, splice: impl Into<Option<SpliceConfig>>) -> Self {
        self.splice = splice.into();
        self
    }

    /// How bulk is [spliced](TunnelConfig::splice); `None` copies it.
    #[must_use]
    pub fn splice_config(&self) -> Option<SpliceConfig> {
        self.splice
    }

    /// The [idle limit](TunnelConfig::idle_timeout); `None` is no limit.
    #[must_use]
    pub fn idle_limit(&self) -> Option<Duration> {
        self.idle
    }

    /// The [write timeout](TunnelConfig::write_timeout); `None` is no limit.
    #[must_use]
    pub fn write_limit(&self) -> Option<Duration> {
        self.write
    }

    /// The [half-close timeout](TunnelConfig::half_close_timeout); `None` is no limit.
    #[must_use]
    pub fn half_close_limit(&self) -> Option<Duration> {
        self.half_close
    }

    /// The [lifetime limit](TunnelConfig::lifetime); `None` is no limit.
    #[must_use]
    pub fn lifetime_limit(&self) -> Option<Duration> {
        self.lifetime
    }
}
