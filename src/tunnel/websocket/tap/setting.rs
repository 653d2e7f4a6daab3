//! A tap with its settings.
//!
//! Values only.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::MessageTap;
use crate::websocket::DeflateParameters;

/// What becomes of compression where a tap looks at messages (RFC 7692). Default: [`Strip`](Compression::Strip).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// No extension is offered to the origin, so none is agreed on: every message is plain. Costs the bytes that compression would
    /// save.
    #[default]
    Strip,
    /// Only `permessage-deflate` is offered, and what is compressed is inflated for the tap. Costs about 43 KiB and the time to
    /// inflate for each side that sends compressed messages, also of those that pass unseen where a message may refer to them.
    ///
    /// Any window and `no_context_takeover` will do. Once a compressed message was replaced or dropped where later ones may refer to
    /// it, what its sender compresses goes on without compression, message by message, in other frames than it came in.
    #[cfg(feature = "deflate")]
    Inflate,
    /// All extensions are offered as they come. The tap gets compressed payload as it is.
    ///
    /// Danger: where the two ends have agreed on permessage-deflate without `no_context_takeover` for the sender, a compressed message that
    /// is dropped or replaced leaves its receiver unable to read later ones of that sender: it closes with 1007, or reads another text.
    Opaque,
}

/// A [`MessageTap`] with its settings.
pub struct Tap {
    pub(in crate::tunnel) tap: Box<dyn MessageTap>,
    compression: Compression,
    deflate: Option<DeflateParameters>,
    decision_timeout: Duration,
    max_inflated_bytes: u64,
}

impl Tap {
    /// With the default settings.
    pub fn new(tap: impl MessageTap) -> Self {
        Tap {
            tap: Box::new(tap),
            compression: Compression::default(),
            deflate: None,
            decision_timeout: Duration::from_secs(10),
            max_inflated_bytes: 64 << 20,
        }
    }

    /// What a gateway or a service does about extensions in the handshake. Default: [`Compression::Strip`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// What was agreed about compression: messages are inflated accordingly. Default: `None`, no compression. A gateway or a service
    /// that [inflates](Compression) sets it by the answer of the origin. Of no effect without the feature `deflate`.
    #[must_use]
    pub fn deflate(mut self, agreed: impl Into<Option<DeflateParameters>>) -> Self {
        self.deflate = agreed.into();
        self
    }

    /// How long [`Verdict::Wait`](super::Verdict::Wait) may take, from when its future is polled first. Default: 10 seconds. Then the
    /// tunnel ends with 1011. What the message stands behind goes out before.
    #[must_use]
    pub fn decision_timeout(mut self, limit: Duration) -> Self {
        self.decision_timeout = limit;
        self
    }

    /// How many bytes a compressed message may come to that is inflated, whatever is decided about it; a message that is read has
    /// the limit of its [decision](super::Decision::Read). Default: 64 MiB. Beyond it the tunnel ends, with 1009 to its sender.
    #[must_use]
    pub fn max_inflated_bytes(mut self, bytes: u64) -> Self {
        self.max_inflated_bytes = bytes;
        self
    }

    /// What it does about extensions.
    #[cfg(feature = "gateway")]
    pub(crate) fn compression_mode(&self) -> Compression {
        self.compression
    }

    /// Whether compressed messages are understood.
    pub(in crate::tunnel) fn inflates(&self) -> bool {
        cfg!(feature = "deflate") && self.deflate.is_some()
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("compression", &self.compression)
            .field("deflate", &self.deflate)
            .field("decision_timeout", &self.decision_timeout)
            .field("max_inflated_bytes", &self.max_inflated_bytes)
            .finish_non_exhaustive()
    }
}

/// A tap of a running tunnel: both directions ask it.
#[derive(Clone)]
pub(in crate::tunnel) struct Tapped {
    tap: Arc<Mutex<Box<dyn MessageTap>>>,
    pub(super) deflate: Option<DeflateParameters>,
    pub(super) decision_timeout: Duration,
    pub(super) max_inflated_bytes: u64,
}

impl Tapped {
    pub(in crate::tunnel) fn new(tap: Tap) -> Self {
        Tapped {
            tap: Arc::new(Mutex::new(tap.tap)),
            deflate: tap.deflate,
            decision_timeout: tap.decision_timeout,
            max_inflated_bytes: tap.max_inflated_bytes,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Box<dyn MessageTap>> {
        self.tap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
