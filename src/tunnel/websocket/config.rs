//! What a tunnel may do beyond passing frames on: ask whether a peer is still there, and how long it waits for the answer.

use std::sync::Arc;
use std::time::Duration;

use super::limits::MessageLimits;
use super::{EndRequest, closing};
use crate::side::Side;
use crate::websocket::{CloseCode, CloseFrame};

/// How a tunnel that carries WebSocket treats its frames: for [`Tunnel::websocket`](crate::tunnel::Tunnel::websocket).
///
/// By default it sends no pings, and ends with a Close where a tunnel of bytes would just end.
///
/// ```
/// use std::time::Duration;
/// use switchover::tunnel::WebSocketConfig;
///
/// let config = WebSocketConfig::default().ping_interval(Duration::from_secs(30));
/// assert_eq!(config.ping_after(), Some(Duration::from_secs(30)));
/// assert_eq!(config.pong_limit(), Duration::from_secs(10));
/// ```
///
/// Cheap to clone: tunnels share what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSocketConfig {
    settings: Arc<WebSocketSettings>,
    // By themselves, because they may be others for each tunnel.
    reserved_bits: Option<[bool; 3]>,
    permessage_deflate: bool,
}

/// What tunnels share of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tunnel) struct WebSocketSettings {
    ping_interval: Option<Duration>,
    pong_timeout: Duration,
    close_timeout: Option<Duration>,
    /// By the side that sends.
    limits: [Option<MessageLimits>; 2],
    limit_close: EndRequest,
    drain_close: EndRequest,
    /// By the side that is sent it.
    abnormal_close: [Option<EndRequest>; 2],
}

impl Default for WebSocketSettings {
    fn default() -> Self {
        WebSocketSettings {
            ping_interval: None,
            pong_timeout: Duration::from_secs(10),
            close_timeout: None,
            limits: [None, None],
            limit_close: EndRequest::default(),
            drain_close: EndRequest::default(),
            abnormal_close: [Some(EndRequest::default()), Some(EndRequest::default())],
        }
    }
}

impl WebSocketConfig {
    /// After how long a silence of one side it is sent a ping. Default: none, no pings.
    ///
    /// Counted for each side by itself, from the last byte that was read from it. The answer is not passed on; a ping and its
    /// answer count against the [idle limit](crate::tunnel::TunnelConfig::idle_timeout) as any byte does, so a tunnel whose ends
    /// answer is never idle if this is shorter. While one side's bytes cannot be delivered it is not read, and not asked.
    ///
    /// Too short, and phones on batteries never sleep. Longer than what forgets quiet connections on the way (a NAT, a
    /// firewall, a balancer: often a minute), and it does not keep them. At least a millisecond.
    #[must_use]
    pub fn ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        let interval = interval.into();
        self.change().ping_interval = interval.map(|interval| interval.max(Duration::from_millis(1)));
        self
    }

    /// How long a side may stay silent after a ping. Default: 10 seconds.
    ///
    /// Any byte from it is an answer, not only the pong. When the time passes, the tunnel ends with
    /// [`End::PingTimeout`](crate::tunnel::End::PingTimeout). It runs from when the side's stream has taken the ping: one that takes
    /// no bytes is left to the [write timeout](crate::tunnel::TunnelConfig::write_timeout).
    ///
    /// It is longer by a second for each KiB that may lie before the ping, by 255 seconds at most: what went out since the last ping that was
    /// answered, and a slow side may not have read yet. At least a millisecond.
    #[must_use]
    pub fn pong_timeout(mut self, limit: Duration) -> Self {
        self.change().pong_timeout = limit.max(Duration::from_millis(1));
        self
    }

    /// How long the ends may take to answer a Close of the tunnel's own with theirs, once both have been sent one. Default: none,
    /// they have what is left of the [half-close timeout](crate::tunnel::TunnelConfig::half_close_timeout), or of 30 seconds where there is
    /// none.
    ///
    /// Then the streams end without it. It runs from when the streams have taken the Closes: before a peer on a slow link gets
    /// one, it gets all that was sent before.
    ///
    /// After a [violation](crate::tunnel::End::Violation), or a [limit](MessageLimits) that was exceeded, the other side is sent its Close at
    /// once, and the side that has done it in the place of the other side's answer, so that what was said before arrives: when this time is
    /// over at the latest, and one that has exceeded a limit after a second. At the end of the time it has a quarter of a second to take it.
    #[must_use]
    pub fn close_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.change().close_timeout = limit.into();
        self
    }

    /// Which of RSV1, RSV2 and RSV3 frames may have set (RFC 6455, section 5.2). Default, `None`: by the extensions that were
    /// agreed, where a gateway or a service knows them; without either, none.
    #[must_use]
    pub fn reserved_bits(mut self, allowed: impl Into<Option<[bool; 3]>>) -> Self {
        self.reserved_bits = allowed.into();
        self
    }

    /// How large the messages of each side may be, and how many. Default: no limits.
    ///
    /// The sender of what exceeds a limit gets a Close, 1009 or 1008, as after a [violation](crate::tunnel::End::Violation): in the
    /// place of the Close that the other side answers with. The other side gets [`limit_close`](WebSocketConfig::limit_close) at
    /// once.
    #[must_use]
    pub fn limits(self, limits: MessageLimits) -> Self {
        self.limits_from(Side::Downstream, limits)
            .limits_from(Side::Upstream, limits)
    }

    /// The same for what one side sends.
    #[must_use]
    pub fn limits_from(mut self, sender: Side, limits: MessageLimits) -> Self {
        self.change().limits[sender as usize] = limits.is_any().then_some(limits);
        self
    }

    /// The Close for the side whose peer has exceeded a [limit](WebSocketConfig::limits). Default: 1001 (Going Away), with a reason
    /// that names the peer.
    #[must_use]
    pub fn limit_close(mut self, close: EndRequest) -> Self {
        self.change().limit_close = close;
        self
    }

    /// The Close for both sides where the tunnel ends by a [drain](crate::tunnel::Tunnel::drain). Default: 1001 (Going Away), "shutting
    /// down".
    ///
    /// 1012 (Service Restart) asks a client to reconnect after 5 to 30 seconds.
    #[must_use]
    pub fn drain_close(mut self, close: EndRequest) -> Self {
        self.change().drain_close = close;
        self
    }

    /// The Close for a side whose peer's stream has ended or failed without one (RFC 6455, section 7.1.5: 1006 is what an endpoint
    /// reports then, and nobody may send it), or whose peer the tunnel gives up because it [takes no
    /// bytes](crate::tunnel::End::WriteTimeout) or [does not close](crate::tunnel::End::HalfCloseTimeout). Default, and [`EndRequest::default`]: 1011 (Internal Error) for the client, 1001 (Going
    /// Away) for the server. `None`: no Close, its stream ends as its peer's did.
    ///
    /// It is sent where what the side has received ends between two frames. Within a frame there is no place for it: the stream
    /// ends there, by a reset if that of the peer has failed. After the Close it ends in order, also where the peer's was reset.
    ///
    /// A peer that ends only its write side and reads on, without a Close, still gets what the other side sends, and that
    /// side's Close; but a side that has been sent a Close sends no more data.
    #[must_use]
    pub fn abnormal_close(mut self, to: Side, close: impl Into<Option<EndRequest>>) -> Self {
        self.change().abnormal_close[to as usize] = close.into();
        self
    }

    /// The [ping interval](WebSocketConfig::ping_interval); `None` is no pings.
    #[must_use]
    pub fn ping_after(&self) -> Option<Duration> {
        self.settings.ping_interval
    }

    /// The [time for an answer](WebSocketConfig::pong_timeout).
    #[must_use]
    pub fn pong_limit(&self) -> Duration {
        self.settings.pong_timeout
    }

    /// The [time for the answer to a Close](WebSocketConfig::close_timeout); `None` is the half-close timeout.
    #[must_use]
    pub fn close_limit(&self) -> Option<Duration> {
        self.settings.close_timeout
    }

    /// The [bits that may be set](WebSocketConfig::reserved_bits).
    #[must_use]
    pub fn allowed_reserved_bits(&self) -> Option<[bool; 3]> {
        self.reserved_bits
    }

    /// RSV1 is that of compressed messages, as both sides have agreed.
    #[must_use]
    pub(crate) fn permessage_deflate(mut self, agreed: bool) -> Self {
        self.permessage_deflate = agreed;
        self
    }

    pub(in crate::tunnel) fn has_permessage_deflate(&self) -> bool {
        self.permessage_deflate
    }

    pub(in crate::tunnel) fn settings(&self) -> &Arc<WebSocketSettings> {
        &self.settings
    }

    fn change(&mut self) -> &mut WebSocketSettings {
        Arc::make_mut(&mut self.settings)
    }
}

impl WebSocketSettings {
    pub(super) fn closes_abnormally(&self, to: Side) -> bool {
        self.abnormal_close[to as usize].is_some()
    }

    /// What `to` is sent because of the other side, of which this is said.
    pub(super) fn abnormal_close_frame(&self, to: Side, why: &str) -> CloseFrame {
        let request = self.abnormal_close[to as usize].as_ref();
        if let Some(close) = request.and_then(EndRequest::frame) {
            return close.clone();
        }
        let code = match to {
            Side::Downstream => CloseCode::INTERNAL_ERROR,
            Side::Upstream => CloseCode::GOING_AWAY,
        };
        CloseFrame::new(code, &format!("{} {why}", closing::name(!to)))
    }

    pub(super) fn drain_close_frame(&self) -> Option<&CloseFrame> {
        self.drain_close.frame()
    }

    pub(super) fn limits_of(&self, sender: Side) -> Option<&MessageLimits> {
        self.limits[sender as usize].as_ref()
    }

    pub(super) fn limit_close_frame(&self) -> Option<&CloseFrame> {
        self.limit_close.frame()
    }

    pub(in crate::tunnel) fn ping_after(&self) -> Option<Duration> {
        self.ping_interval
    }

    pub(in crate::tunnel) fn pong_limit(&self) -> Duration {
        self.pong_timeout
    }

    pub(in crate::tunnel) fn close_limit(&self) -> Option<Duration> {
        self.close_timeout
    }
}
