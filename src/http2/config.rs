//! How many tunnels share a connection, how much of each may wait in memory, and how long a connection is kept.

use std::time::Duration;

use http::uri::Scheme;

/// What frames may cost h2 besides their bytes before it gives up the connection, with all its tunnels.
///
/// Its own bound is half the connection's window, which an upstream with many short messages can pass in one go. Frames
/// are taken out whenever the connection's task has run, so they are no more than what one run reads.
pub(super) const FRAME_BUDGET: usize = 64 * 1024 * 1024;

/// How many streams that were reset are remembered, and for how long. Frames that were on their way to one of them are ignored; to
/// one that is forgotten they are an error, of which h2 counts as many as it bears over the whole life of a connection. It forgets the
/// newest ones where there is no room, so that both numbers matter: a thousand tunnels that are dropped at once, and 256 streams in
/// each second.
pub(super) const RESET_STREAMS: usize = 1024;
pub(super) const RESETS_REMEMBERED: Duration = Duration::from_secs(4);

/// The largest window that HTTP/2 has (RFC 9113, section 6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// The settings of an [`Http2Connect`](super::Http2Connect).
///
/// ```
/// use std::time::Duration;
/// use switchover::http2::Http2Config;
///
/// let config = Http2Config::default().max_tunnels(32).idle_timeout(Duration::from_secs(10));
/// ```
#[derive(Clone, Debug)]
pub struct Http2Config {
    pub(super) scheme: Scheme,
    pub(super) max_tunnels: usize,
    pub(super) window: u32,
    pub(super) send_buffer: usize,
    pub(super) max_head_bytes: u32,
    pub(super) idle_timeout: Duration,
    pub(super) ping_interval: Option<Duration>,
    pub(super) ping_timeout: Duration,
}

impl Default for Http2Config {
    fn default() -> Self {
        Http2Config {
            scheme: Scheme::HTTP,
            max_tunnels: 128,
            window: 64 * 1024,
            send_buffer: 64 * 1024,
            max_head_bytes: 64 * 1024,
            idle_timeout: Duration::from_secs(60),
            ping_interval: Some(Duration::from_secs(30)),
            ping_timeout: Duration::from_secs(20),
        }
    }
}

impl Http2Config {
    /// The `:scheme` of the requests. Default `http`; `https` belongs to an inner connector that speaks TLS, and some
    /// upstreams refuse the one that does not go with their transport.
    #[must_use]
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// The most tunnels that share one connection, at least 1. Default 128. The upstream's own
    /// `SETTINGS_MAX_CONCURRENT_STREAMS` counts too; beyond either, another connection is made.
    ///
    /// A connection that fails takes all its tunnels with it, and a lost segment holds all of them up: fewer share less.
    #[must_use]
    pub fn max_tunnels(mut self, most: usize) -> Self {
        self.max_tunnels = most.max(1);
        self
    }

    /// How many bytes of one tunnel the upstream may send ahead of the client's reading them: the window of a stream, 1
    /// to 2,147,483,647. Default 65,536.
    ///
    /// They wait in memory if the client does not take them: the upstream may send as many again as are delivered.
    /// The window of the connection is as large as those of all its tunnels together, at most 2,147,483,647, so that no
    /// tunnel waits for another's client. Throughput is at most one window in each round trip to the upstream.
    #[must_use]
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes.clamp(1, LARGEST_WINDOW);
        self
    }

    /// How many bytes of one tunnel may wait for the connection to the upstream to take them, at least 1. Default 65,536.
    /// The tunnel has to wait once there are more.
    #[must_use]
    pub fn send_buffer(mut self, bytes: u32) -> Self {
        self.send_buffer = bytes.max(1) as usize;
        self
    }

    /// The most bytes of a response head, counted as HTTP/2 does: 32 for each field besides its name and value. Default
    /// 65,536. A larger one is a 502.
    ///
    /// The gateway's own limit, [`response_limits`](crate::UpgradeConfig::response_limits), counts too.
    #[must_use]
    pub fn max_head_bytes(mut self, bytes: u32) -> Self {
        self.max_head_bytes = bytes;
        self
    }

    /// How long a connection is kept that carries no tunnel. Default 60 seconds, less than the 75 of nginx: the side that closes
    /// first asks nothing of a connection that is about to be closed.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// How often the upstream is asked for a sign of life, by a PING on each connection. Default 30 seconds; `None` never
    /// asks, and a connection whose upstream has vanished then takes new tunnels until the operating
    /// system notices, which may be a quarter of an hour. At least a millisecond.
    #[must_use]
    pub fn ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        let interval = interval.into();
        self.ping_interval = interval.map(|interval| interval.max(Duration::from_millis(1)));
        self
    }

    /// How long the answer to a PING may take; then the connection and all its tunnels have failed. Default 20 seconds.
    ///
    /// The time starts again with each byte that comes, and whenever the connection takes bytes after it had taken none. It is
    /// longer by a second for each KiB that may lie before the PING, which is what was written since the last one that was answered; by
    /// 256 seconds at most. So an upstream that reads or sends slowly is not taken for one that has vanished.
    #[must_use]
    pub fn ping_timeout(mut self, limit: Duration) -> Self {
        self.ping_timeout = limit;
        self
    }

    /// The window of a connection: room for every tunnel's.
    pub(super) fn connection_window(&self) -> u32 {
        let all = (self.max_tunnels as u64).saturating_mul(u64::from(self.window));
        // Never less than what a connection starts with, which a setting cannot shrink.
        u32::try_from(all)
            .unwrap_or(LARGEST_WINDOW)
            .clamp(65_535, LARGEST_WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_of_a_connection_has_room_for_those_of_its_tunnels() {
        let window = |tunnels, window| {
            Http2Config::default()
                .max_tunnels(tunnels)
                .window(window)
                .connection_window()
        };
        assert_eq!(window(128, 65_536), 8 * 1024 * 1024);
        assert_eq!(window(0, 100_000), 100_000);
        assert_eq!(window(1, 0), 65_535);
        assert_eq!(window(2, u32::MAX), LARGEST_WINDOW);
        assert_eq!(window(usize::MAX, u32::MAX), LARGEST_WINDOW);
    }
}
