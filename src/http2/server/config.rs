//! The deadlines and limits of a connection from a client, and their defaults.

use std::time::Duration;

/// The largest window that HTTP/2 has (RFC 9113, section 6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// The settings of an [`Http2Server`](super::Http2Server).
///
/// ```
/// use std::time::Duration;
/// use switchover::http2::Http2ServerConfig;
///
/// let config = Http2ServerConfig::default()
///     .header_timeout(Duration::from_secs(5))
///     .send_timeout(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug)]
pub struct Http2ServerConfig {
    pub(super) header_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) send_timeout: Duration,
    pub(super) close_timeout: Duration,
    pub(super) ping_interval: Option<Duration>,
    pub(super) ping_timeout: Duration,
    pub(super) max_streams: u32,
    pub(super) extended_connect: bool,
    pub(super) window: u32,
    pub(super) send_buffer: usize,
    pub(super) max_head_bytes: u32,
    pub(super) max_head_fields: usize,
}

impl Default for Http2ServerConfig {
    fn default() -> Self {
        Http2ServerConfig {
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            send_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(2),
            ping_interval: Some(Duration::from_secs(30)),
            ping_timeout: Duration::from_secs(20),
            max_streams: 128,
            extended_connect: true,
            window: 64 * 1024,
            send_buffer: 64 * 1024,
            max_head_bytes: 64 * 1024,
            max_head_fields: 128,
        }
    }
}

impl Http2ServerConfig {
    /// How long a client may take from the beginning of the connection to the end of its first request's head. Default 30
    /// seconds, as for HTTP/1.1.
    ///
    /// Whatever else the client does meanwhile does not count: half a preface, settings, PINGs, half a head.
    #[must_use]
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.header_timeout = limit;
        self
    }

    /// How long a connection is kept on which nothing is under way, neither a request nor a tunnel. Default 75 seconds, as
    /// nginx keeps it.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// How long a client may take no byte of an answer that waits for it. Default 60 seconds. Then the stream is reset with
    /// CANCEL, and whatever the answer came from is let go; the connection goes on.
    ///
    /// Bytes count when the connection has taken them, however lively the client answers PINGs. Where the client's windows have room and
    /// the answer waits for its turn on the connection, it counts that the connection goes on. For a tunnel it is
    /// [`TunnelConfig::write_timeout`](crate::tunnel::TunnelConfig::write_timeout) that counts.
    #[must_use]
    pub fn send_timeout(mut self, limit: Duration) -> Self {
        self.send_timeout = limit;
        self
    }

    /// How long a connection that was asked to end, and on which nothing is under way, may take to do so. Default 2 seconds.
    /// Then it is closed without another word. As for a [PING](Http2ServerConfig::ping_timeout), what may lie before the GOAWAY makes the
    /// time longer, by 256 seconds at most: the client has not read its last answers yet.
    ///
    /// What it asks for within that time is answered. Later requests are reset with REFUSED_STREAM, also beside tunnels that go on.
    #[must_use]
    pub fn close_timeout(mut self, limit: Duration) -> Self {
        self.close_timeout = limit;
        self
    }

    /// How often the client is asked for a sign of life, by a PING. Default 30 seconds; `None` never asks, and a client that
    /// has vanished keeps its tunnels until their own deadlines.
    #[must_use]
    pub fn ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.ping_interval = interval.into();
        self
    }

    /// How long the answer to a PING may take; then the connection and all that is under way on it have failed. Default 20
    /// seconds.
    ///
    /// The time starts again with each byte that comes, and whenever the connection takes bytes after it had taken none. It is
    /// longer by a second for each KiB that may lie before the PING, which is what was written since the last one that was answered; by
    /// 256 seconds at most. So a client that reads or sends slowly is not taken for one that has vanished.
    #[must_use]
    pub fn ping_timeout(mut self, limit: Duration) -> Self {
        self.ping_timeout = limit;
        self
    }

    /// How many requests, tunnels included, a client may have open at a time on one connection
    /// (`SETTINGS_MAX_CONCURRENT_STREAMS`), at least 1. Default 128, as nginx.
    #[must_use]
    pub fn max_streams(mut self, most: u32) -> Self {
        self.max_streams = most.max(1);
        self
    }

    /// Whether clients may ask for an extended CONNECT (RFC 8441), which is how they open a WebSocket over HTTP/2
    /// (`SETTINGS_ENABLE_CONNECT_PROTOCOL`). Default true.
    ///
    /// Set it to false where the service does not answer such requests: a browser that is offered them sends its WebSockets this
    /// way, and does not try HTTP/1.1 when they are refused.
    #[must_use]
    pub fn extended_connect(mut self, offered: bool) -> Self {
        self.extended_connect = offered;
        self
    }

    /// How many bytes of one stream a client may send ahead of their being read, 1 to 2,147,483,647. Default 65,536.
    ///
    /// They wait in memory where the upstream does not take them. The window of the connection is as large as those of all
    /// its streams together, so that no stream waits for another's upstream. An upload moves at most one window in each
    /// round trip to the client.
    #[must_use]
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes.clamp(1, LARGEST_WINDOW);
        self
    }

    /// How many bytes of one stream may wait for the client to take them, at least 1. Default 65,536. Whatever the answer or
    /// the tunnel comes from is not read beyond that.
    #[must_use]
    pub fn send_buffer(mut self, bytes: u32) -> Self {
        self.send_buffer = bytes.max(1) as usize;
        self
    }

    /// The most bytes of a request head, counted as HTTP/2 does: 32 for each field besides its name and value. Default
    /// 65,536. A larger one is answered 431 within h2: the service does not see it, and nothing reports it.
    #[must_use]
    pub fn max_head_bytes(mut self, bytes: u32) -> Self {
        self.max_head_bytes = bytes;
        self
    }

    /// The most fields of a request head. Default 128, as for HTTP/1.1. A head with more is answered 431, which the service does not see;
    /// it is counted and reported as `too-many-fields`.
    ///
    /// `usize::MAX` leaves it to the service, which can log what it refuses: those of this crate have
    /// [limits](crate::http1::HeadLimits) of their own. Within `max_head_bytes` there are 2,048 fields at most by its default.
    #[must_use]
    pub fn max_head_fields(mut self, most: usize) -> Self {
        self.max_head_fields = most;
        self
    }

    /// The window of a connection: room for every stream's.
    pub(super) fn connection_window(&self) -> u32 {
        let all = u64::from(self.max_streams) * u64::from(self.window);
        // Never less than what a connection starts with, which a setting cannot shrink.
        u32::try_from(all)
            .unwrap_or(LARGEST_WINDOW)
            .clamp(65_535, LARGEST_WINDOW)
    }
}
