//! How large the messages of one side may be, and how many: what the operator sets, and what is reported when a limit is exceeded.
//!
//! Values only. The decision about a frame is in `limiter.rs`, the arithmetic of a rate in `bucket.rs`. Neither knows a stream, and
//! the time is passed in.

mod bucket;
mod limiter;

use std::fmt;

pub(in crate::tunnel) use limiter::{Admission, Limiter};

use crate::websocket::CloseCode;

/// Limits on what one side of a WebSocket sends: for [`WebSocketConfig::limits`](super::WebSocketConfig::limits). Default: none.
///
/// Each limit is decided from the header of a frame. No byte of the payload of a refused frame is passed on, and none is collected.
/// The frames that were sent before it were passed on: of a message in fragments the other side has the fragments within the limit.
///
/// Lengths are those on the wire. A compressed message (permessage-deflate) of a few bytes may be inflated to a thousand times as much by
/// its receiver: where that matters, refuse the extension, or read messages by a [tap](super::Tap), which has a
/// [limit for what it inflates](super::Tap::max_inflated_bytes).
///
/// Exceeding a limit ends the tunnel with [`End::LimitExceeded`](crate::tunnel::End::LimitExceeded), except where
/// [`throttle`](MessageLimits::throttle) lets a rate delay the sender.
///
/// ```
/// use switchover::tunnel::{MessageLimits, Rate, WebSocketConfig};
///
/// let limits = MessageLimits::default()
///     .max_message_bytes(64 * 1024)
///     .message_rate(Rate::per_second(10).burst(20));
/// let config = WebSocketConfig::default().limits(limits);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageLimits {
    max_frame_bytes: Option<u64>,
    max_message_bytes: Option<u64>,
    max_fragments: Option<u64>,
    control_frame_rate: Option<Rate>,
    message_rate: Option<Rate>,
    byte_rate: Option<Rate>,
    throttle: bool,
}

impl MessageLimits {
    /// The longest payload of one data frame, in bytes. Default: none.
    ///
    /// A longer frame is refused with 1009 (Message Too Big). At zero only empty frames pass. Of a compressed frame it is the compressed
    /// length. Control frames have a limit of their
    /// own, 125 bytes (RFC 6455, section 5.5).
    #[must_use]
    pub fn max_frame_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_frame_bytes = bytes.into();
        self
    }

    /// The longest message, in bytes: the sum of the payloads of its frames. Default: none.
    ///
    /// The first frame that exceeds the sum is refused with 1009 (Message Too Big). At zero only empty messages pass. Of a compressed
    /// message it is the compressed length.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_message_bytes = bytes.into();
        self
    }

    /// The most frames that a message may have. Default: none. Zero is taken for one.
    ///
    /// The first frame beyond them is refused with 1008 (Policy Violation).
    #[must_use]
    pub fn max_fragments(mut self, count: impl Into<Option<u64>>) -> Self {
        self.max_fragments = count.into().map(|count| count.max(1));
        self
    }

    /// How often the side may send pings and pongs. Default: no limit.
    ///
    /// A Close always passes, and so does the first answer to each ping of the tunnel's own. The same answer sent again counts. What
    /// exceeds the rate is refused with 1008 (Policy Violation).
    #[must_use]
    pub fn control_frame_rate(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.control_frame_rate = rate.into();
        self
    }

    /// How often the side may begin a message. Default: no limit. What exceeds it is refused with 1008 (Policy Violation).
    #[must_use]
    pub fn message_rate(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.message_rate = rate.into();
        self
    }

    /// How many bytes the side may send in data frames, headers included. Default: no limit. What exceeds it is refused with 1008
    /// (Policy Violation): a frame that is longer than the burst always.
    ///
    /// With [`throttle`](MessageLimits::throttle) a frame of any length passes, and its payload no faster than the rate. It is not spliced
    /// then.
    #[must_use]
    pub fn byte_rate(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.byte_rate = rate.into();
        self
    }

    /// Whether what is beyond a rate waits until the rate has room for it, instead of ending the tunnel. Default: false.
    ///
    /// While it waits the side is not read, so that its sender is slowed down, and at most 64 KiB of what was read are kept. What the
    /// other side sends goes on. The side that waits is not idle, and it is not sent a ping. Its Close, or that it has gone, is seen only
    /// afterwards. By a [`byte_rate`](MessageLimits::byte_rate) a frame may wait in its midst, where no frame of the tunnel's own has a place:
    /// pings to the other side wait for its end, and so does a Close, until its time is over.
    /// [`max_frame_bytes`](MessageLimits::max_frame_bytes) bounds that.
    #[must_use]
    pub fn throttle(mut self, throttle: bool) -> Self {
        self.throttle = throttle;
        self
    }

    /// Whether there is any.
    pub(super) fn is_any(&self) -> bool {
        *self != MessageLimits::default().throttle(self.throttle)
    }
}

/// How many of something in a second, and how many at once.
///
/// ```
/// use switchover::tunnel::Rate;
///
/// // Ten in each second, and twenty at once after a silence of two seconds.
/// let rate = Rate::per_second(10).burst(20);
/// # let _ = rate;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// So many in a second, and as many at once. Zero is taken for one: there is no rate at which nothing passes.
    #[must_use]
    pub fn per_second(count: u64) -> Self {
        let count = count.max(1);
        Rate {
            per_second: count,
            burst: count,
        }
    }

    /// How many may come at once after a silence. Default: as many as in a second. Zero is taken for one.
    #[must_use]
    pub fn burst(mut self, count: u64) -> Self {
        self.burst = count.max(1);
        self
    }
}

/// Which limit of [`MessageLimits`] was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessageLimit {
    /// [`max_frame_bytes`](MessageLimits::max_frame_bytes).
    FrameBytes,
    /// [`max_message_bytes`](MessageLimits::max_message_bytes).
    MessageBytes,
    /// [`max_fragments`](MessageLimits::max_fragments).
    Fragments,
    /// [`control_frame_rate`](MessageLimits::control_frame_rate).
    ControlFrameRate,
    /// [`message_rate`](MessageLimits::message_rate).
    MessageRate,
    /// [`byte_rate`](MessageLimits::byte_rate).
    ByteRate,
}

impl MessageLimit {
    /// In a word, for logs and metrics: `frame-bytes`, `message-bytes`, `fragments`, `control-frames-per-second`,
    /// `messages-per-second`, `bytes-per-second`. None of them changes in a minor version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            MessageLimit::FrameBytes => "frame-bytes",
            MessageLimit::MessageBytes => "message-bytes",
            MessageLimit::Fragments => "fragments",
            MessageLimit::ControlFrameRate => "control-frames-per-second",
            MessageLimit::MessageRate => "messages-per-second",
            MessageLimit::ByteRate => "bytes-per-second",
        }
    }

    /// The code of the Close that the sender gets: 1009 (Message Too Big) for a size, 1008 (Policy Violation) for all else
    /// (RFC 6455, section 7.4.1).
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            MessageLimit::FrameBytes | MessageLimit::MessageBytes => CloseCode::MESSAGE_TOO_BIG,
            _ => CloseCode::POLICY_VIOLATION,
        }
    }
}

impl fmt::Display for MessageLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MessageLimit::FrameBytes => "bytes in a frame",
            MessageLimit::MessageBytes => "bytes in a message",
            MessageLimit::Fragments => "frames in a message",
            MessageLimit::ControlFrameRate => "control frames per second",
            MessageLimit::MessageRate => "messages per second",
            MessageLimit::ByteRate => "bytes per second",
        })
    }
}
