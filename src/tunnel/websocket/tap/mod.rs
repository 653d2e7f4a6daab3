//! What the caller decides about messages: which pass unseen, which are read, replaced, left out or refused.
//!
//! Values and the trait. It must not know how bytes move.

mod collected;
mod held;
#[cfg_attr(not(feature = "deflate"), path = "no_inflate.rs")]
mod inflate;
mod injector;
mod message;
mod screen;
mod setting;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

pub(super) use collected::frame;
pub(super) use injector::Outgoing;
pub(in crate::tunnel) use injector::{Inbox, Inboxes};
pub use injector::{InjectError, MessageInjector};
pub(super) use message::Denial;
pub(super) use screen::{Screen, Step};
pub(in crate::tunnel) use setting::Tapped;
pub use setting::{Compression, Tap};

use super::EndRequest;
use crate::side::Side;
use crate::websocket::OpCode;

/// Decides about the messages of one WebSocket tunnel, for [`Tunnel::tap`](crate::tunnel::Tunnel::tap) and
/// [`UpgradeConfig::tap`](crate::UpgradeConfig::tap).
///
/// The methods are called on the tunnel's task, while bytes move: they have to be quick, and must not block. A decision that
/// needs somebody else is [`Verdict::Wait`].
///
/// ```
/// use bytes::Bytes;
/// use switchover::Side;
/// use switchover::tunnel::{Decision, MessageHead, MessageTap, Tap, Verdict};
///
/// /// Takes a word out of what clients say, and looks at nothing else.
/// struct Polite;
///
/// impl MessageTap for Polite {
///     fn decide(&mut self, head: &MessageHead) -> Decision {
///         match head.sender() {
///             Side::Downstream if head.is_text() => Decision::Read(4096),
///             _ => Decision::Pass,
///         }
///     }
///
///     fn read(&mut self, _: &MessageHead, payload: &Bytes) -> Verdict {
///         match std::str::from_utf8(payload) {
///             Ok(text) if text.contains("darn") => Verdict::Replace(text.replace("darn", "****").into()),
///             _ => Verdict::Pass,
///         }
///     }
/// }
///
/// let tap = Tap::new(Polite);
/// ```
pub trait MessageTap: Send + 'static {
    /// What is to be done with a message that begins. Called once for each message, when the header of its first frame is whole.
    fn decide(&mut self, head: &MessageHead) -> Decision;

    /// What is to be done with a message that has been [read](Decision::Read): `payload` is all of it, its masks removed, and
    /// inflated where it was compressed and the tap [inflates](Compression::Inflate). By default it passes.
    ///
    /// Nobody has checked that the payload of a text message is UTF-8.
    fn read(&mut self, head: &MessageHead, payload: &Bytes) -> Verdict {
        let _ = (head, payload);
        Verdict::Pass
    }

    /// Sees a piece of a message that is [observed](Decision::Observe), while it passes. `is_last`: the message ends with this
    /// piece, which may be empty. A piece can end within a character. Nobody has checked that text is UTF-8.
    ///
    /// `Some` ends the tunnel: the frame goes on to its end, and then both sides are sent this Close.
    fn observe(&mut self, head: &MessageHead, piece: &[u8], is_last: bool) -> Option<EndRequest> {
        let _ = (head, piece, is_last);
        None
    }

    /// The tunnel begins. The handle sends messages of the tap's own to either side.
    fn start(&mut self, injector: &MessageInjector) {
        let _ = injector;
    }
}

/// What is known of a message when its first frame begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHead {
    pub(super) sender: Side,
    pub(super) opcode: OpCode,
    pub(super) is_compressed: bool,
    pub(super) is_whole: bool,
    pub(super) first_length: u64,
}

impl MessageHead {
    /// The side that sends it.
    #[must_use]
    pub fn sender(&self) -> Side {
        self.sender
    }

    /// [Text](OpCode::Text) or [binary](OpCode::Binary).
    #[must_use]
    pub fn opcode(&self) -> OpCode {
        self.opcode
    }

    /// Whether it is a text message.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.opcode == OpCode::Text
    }

    /// Whether RSV1 is set: it is compressed by permessage-deflate (RFC 7692, section 6).
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// Whether the first frame is the only one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The payload of the first frame, in bytes, as it is on the wire.
    #[must_use]
    pub fn first_frame_length(&self) -> u64 {
        self.first_length
    }
}

/// What is to be done with a message that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// It goes on, and its payload is not looked at.
    Pass,
    /// It goes on, and [`MessageTap::observe`] sees its payload.
    Observe,
    /// It is held back until it is whole, and then [`MessageTap::read`] decides. At most so many bytes of payload: a longer message
    /// ends the tunnel, with 1009 (Message Too Big) to its sender.
    ///
    /// The direction then holds the payload (twice if it is compressed: as it came, and inflated), and the headers of its frames, of
    /// which a message may have a quarter of the limit and 16 KiB. Control frames between its frames go on at once.
    Read(usize),
    /// It does not go on.
    Drop,
    /// It does not go on, and the tunnel ends with this Close to both sides. By default ([`EndRequest::default`]) its sender is sent 1008
    /// (Policy Violation) and the other side 1001.
    Close(EndRequest),
}

/// What is to be done with a message that was read.
#[non_exhaustive]
pub enum Verdict {
    /// It goes on as it came: the same frames with the same masks.
    Pass,
    /// This goes on in its place, in one frame, not compressed. Text has to be UTF-8: the receiver would close the connection with
    /// 1007.
    Replace(Bytes),
    /// It does not go on.
    Drop,
    /// It does not go on, and the tunnel ends with this Close to both sides.
    Close(EndRequest),
    /// Somebody else has to decide. Until then nothing more of what this side sends goes on, nor is it read; the other direction
    /// goes on. After the [time for a decision](Tap::decision_timeout) the tunnel ends with 1011 to both sides.
    Wait(Pin<Box<dyn Future<Output = Verdict> + Send>>),
}

impl Verdict {
    /// [`Verdict::Wait`] for this future.
    ///
    /// It is polled on the tunnel's task, as long as nothing else is to be done with its result: it is dropped before it has completed
    /// when its time is over, when a Close goes out before its message, and when the tunnel ends, fails or is dropped.
    pub fn wait(decision: impl Future<Output = Verdict> + Send + 'static) -> Self {
        Verdict::Wait(Box::pin(decision))
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Pass => f.write_str("Pass"),
            Verdict::Replace(payload) => f.debug_tuple("Replace").field(payload).finish(),
            Verdict::Drop => f.write_str("Drop"),
            Verdict::Close(request) => f.debug_tuple("Close").field(request).finish(),
            Verdict::Wait(_) => f.write_str("Wait"),
        }
    }
}
