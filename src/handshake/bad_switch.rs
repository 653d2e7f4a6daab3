//! The law of the answer that is none: each way in which an upstream can answer an upgrade without declining it or
//! switching, with a name, a sentence and the response that the client gets.

use http::{Response, StatusCode};

use super::rejection::last_response;
use crate::head::FramingError;
use crate::header::{ProtocolError, hop_by_hop};

/// A 101 that is none, or an answer that cannot be relayed. The client gets a 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSwitch {
    /// A 101 that is not HTTP/1.1.
    #[error("the 101 is not HTTP/1.1")]
    Version,
    /// A 101 without the connection option `upgrade`.
    #[error("the 101 has no Connection field with the option upgrade")]
    Connection,
    /// A 101 without `Upgrade`.
    #[error("the 101 has no Upgrade field")]
    UpgradeMissing,
    /// A 101 with an `Upgrade` that is not a protocol.
    #[error("the Upgrade field of the 101 is invalid: {0}")]
    UpgradeInvalid(#[from] ProtocolError),
    /// A 101 to a protocol that was not asked for, or to several.
    #[error("the 101 switches to a protocol that was not asked for")]
    UpgradeNotOffered,
    /// A 101 without `Sec-WebSocket-Accept`.
    #[error("the 101 has no Sec-WebSocket-Accept field")]
    AcceptMissing,
    /// A 101 with several `Sec-WebSocket-Accept`.
    #[error("the Sec-WebSocket-Accept field of the 101 is repeated")]
    AcceptRepeated,
    /// A `Sec-WebSocket-Accept` that does not answer the key.
    #[error("the Sec-WebSocket-Accept of the 101 does not answer the Sec-WebSocket-Key")]
    AcceptWrong,
    /// A subprotocol that was not offered, or several.
    #[error("the 101 selects a subprotocol that was not offered")]
    SubprotocolNotOffered,
    /// An extension that was not offered, or several `Sec-WebSocket-Extensions` lines.
    #[error("the 101 selects an extension that was not offered")]
    ExtensionNotOffered,
    /// A 2xx without a switch, to a client that asked by extended CONNECT and would take it for one.
    #[error("the answer is a success and no switch")]
    Success,
    /// A final answer whose length is ambiguous.
    #[error("the answer's framing is ambiguous: {0}")]
    Framing(#[from] FramingError),
    /// More connection options than anyone needs.
    #[error(transparent)]
    ConnectionOptions(#[from] hop_by_hop::TooManyOptions),
}

impl BadSwitch {
    /// In a word, for logs and metrics: `switch-version`, `switch-connection`, `switch-upgrade-missing`,
    /// `switch-upgrade-invalid`, `switch-upgrade-not-offered`, `switch-accept-missing`, `switch-accept-repeated`,
    /// `switch-accept-wrong`, `switch-subprotocol-not-offered`, `switch-extension-not-offered`, `success-without-switch`,
    /// `framing`, `too-many-connection-options`. None of them changes in a minor version.
    pub const fn name(self) -> &'static str {
        match self {
            BadSwitch::Version => "switch-version",
            BadSwitch::Connection => "switch-connection",
            BadSwitch::UpgradeMissing => "switch-upgrade-missing",
            BadSwitch::UpgradeInvalid(_) => "switch-upgrade-invalid",
            BadSwitch::UpgradeNotOffered => "switch-upgrade-not-offered",
            BadSwitch::AcceptMissing => "switch-accept-missing",
            BadSwitch::AcceptRepeated => "switch-accept-repeated",
            BadSwitch::AcceptWrong => "switch-accept-wrong",
            BadSwitch::SubprotocolNotOffered => "switch-subprotocol-not-offered",
            BadSwitch::ExtensionNotOffered => "switch-extension-not-offered",
            BadSwitch::Success => "success-without-switch",
            BadSwitch::Framing(_) => "framing",
            BadSwitch::ConnectionOptions(_) => "too-many-connection-options",
        }
    }

    /// The whole answer to the client: a 502 with the reason, and `Connection: close`.
    ///
    /// As with [`Rejection::into_response`](super::Rejection::into_response), the text repeats nothing that a peer has
    /// sent, and there is no `Content-Length`.
    pub fn into_response(self) -> Response<String> {
        let text = format!("the upstream's answer is not acceptable: {self}\n");
        last_response(StatusCode::BAD_GATEWAY, text)
    }
}
