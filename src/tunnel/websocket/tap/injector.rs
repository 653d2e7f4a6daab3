//! Messages and pings of the caller's own, on their way to their place in the stream.
//!
//! Knows two queues with room for one message each. It must not know when there is a place.

use std::fmt;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::side::Side;
use crate::websocket::OpCode;

/// What is to be sent.
pub(in crate::tunnel) enum Outgoing {
    Message(OpCode, Bytes),
    Ping,
}

pub(in crate::tunnel) type Inbox = mpsc::Receiver<Outgoing>;

/// The queues of both directions: to downstream, to upstream.
pub(in crate::tunnel) struct Inboxes {
    pub(in crate::tunnel) to_downstream: Inbox,
    pub(in crate::tunnel) to_upstream: Inbox,
}

/// Sends messages of the caller's own to the sides of a running tunnel: [`Tunnel::injector`](crate::tunnel::Tunnel::injector),
/// [`MessageTap::start`](super::MessageTap::start). Cheap to clone.
///
/// A message goes out between two messages of the side that it seems to come from, a ping between two of its frames. It is not
/// compressed, and no [`MessageTap`](super::MessageTap) sees it. It is not counted in [`Traffic`](crate::tunnel::Traffic).
///
/// Each side has room for one message that waits: the next `send` waits until that has gone out, so that a side that reads slowly
/// slows the sender down. In a tap, whose methods must not wait, a clone is for a task of the caller's own.
///
/// # Cancel safety
///
/// A `send` that is dropped before it is ready has sent nothing.
#[derive(Clone)]
pub struct MessageInjector {
    to_downstream: mpsc::Sender<Outgoing>,
    to_upstream: mpsc::Sender<Outgoing>,
}

impl MessageInjector {
    pub(in crate::tunnel) fn new() -> (Self, Inboxes) {
        let (to_downstream, downstream) = mpsc::channel(1);
        let (to_upstream, upstream) = mpsc::channel(1);
        let injector = MessageInjector {
            to_downstream,
            to_upstream,
        };
        let inboxes = Inboxes {
            to_downstream: downstream,
            to_upstream: upstream,
        };
        (injector, inboxes)
    }

    /// Sends a text message to a side. Ready when it is its turn next.
    ///
    /// # Errors
    ///
    /// [`InjectError`] if the side takes no more messages.
    pub async fn send_text(&self, to: Side, text: impl Into<String>) -> Result<(), InjectError> {
        let message = Outgoing::Message(OpCode::Text, text.into().into());
        self.send(to, message).await
    }

    /// Sends a binary message to a side. Ready when it is its turn next.
    ///
    /// # Errors
    ///
    /// [`InjectError`] if the side takes no more messages.
    pub async fn send_binary(&self, to: Side, payload: impl Into<Bytes>) -> Result<(), InjectError> {
        let message = Outgoing::Message(OpCode::Binary, payload.into());
        self.send(to, message).await
    }

    /// Sends a ping to a side. Its answer does not go on to the other; the time that it takes is shown by
    /// [`TunnelWatch`](crate::tunnel::TunnelWatch). A side that stays silent for the
    /// [pong timeout](crate::tunnel::WebSocketConfig::pong_timeout) ends the tunnel, as after a ping of the tunnel's own. The timeout
    /// runs from the first ping that is not answered, however many follow.
    ///
    /// # Errors
    ///
    /// [`InjectError`] if the side takes no more messages.
    pub async fn ping(&self, to: Side) -> Result<(), InjectError> {
        self.send(to, Outgoing::Ping).await
    }

    async fn send(&self, to: Side, outgoing: Outgoing) -> Result<(), InjectError> {
        let queue = match to {
            Side::Downstream => &self.to_downstream,
            Side::Upstream => &self.to_upstream,
        };
        queue.send(outgoing).await.map_err(|_| InjectError)
    }
}

impl fmt::Debug for MessageInjector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageInjector").finish_non_exhaustive()
    }
}

/// A side of the tunnel takes no more messages: it has been sent a Close, or the tunnel has ended, or does not know its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tunnel takes no more messages for this side: it has been sent a Close, or the tunnel has ended")]
#[non_exhaustive]
pub struct InjectError;
