//! What both sides of a tunnel are sent when somebody ends it: a Close with a code and a reason, where the tunnel knows its frames.
//!
//! A value only.

use std::sync::Arc;

use crate::websocket::{CloseCode, CloseFrame, ClosePayload, ClosePayloadError};

/// With which Close a tunnel ends that somebody [ends](crate::tunnel::TunnelWatch::end_with). Cheap to clone.
///
/// Both sides are sent the same code and reason, each at the next boundary between two frames, if the tunnel
/// [knows its frames](crate::tunnel::Tunnel::websocket). A tunnel of bytes ends as a [drain](crate::tunnel::Tunnel::drain) ends it,
/// without words.
///
/// ```
/// use switchover::tunnel::EndRequest;
/// use switchover::websocket::CloseCode;
///
/// let signed_out = EndRequest::close(CloseCode(4001), "signed out")?;
/// assert!(EndRequest::close(CloseCode(1006), "").is_err());
/// # Ok::<(), switchover::websocket::ClosePayloadError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndRequest {
    close: Option<Arc<CloseFrame>>,
}

impl EndRequest {
    /// A Close with this code and this reason. [Default](EndRequest::default): a code that fits why the tunnel ends, which is 1001
    /// (Going Away) or, for a tunnel that has expired, 1008 (Policy Violation).
    ///
    /// Usual codes are 1008 for a user that is blocked, 1012 (Service Restart) for a server that leaves, and 4000 to 4999 for what
    /// the application and its page have agreed on.
    ///
    /// # Errors
    ///
    /// No endpoint may send the code (RFC 6455, section 7.4), or the reason is longer than 123 bytes (section 5.5).
    pub fn close(code: CloseCode, reason: &str) -> Result<Self, ClosePayloadError> {
        ClosePayload::new(code, reason).encode(&mut Vec::new())?;
        Ok(EndRequest {
            close: Some(Arc::new(CloseFrame::new(code, reason))),
        })
    }

    /// What it says. `None` is the default.
    #[must_use]
    pub fn frame(&self) -> Option<&CloseFrame> {
        self.close.as_deref()
    }
}
