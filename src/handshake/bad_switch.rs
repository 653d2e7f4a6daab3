//! Each way in which an upstream can answer an upgrade without declining it or switching: a name, a sentence, what to
//! change, and the response that the client gets.
//!
//! One cause, one variant. Must not know how they are found; that is `verdict.rs`.

use http::{Response, StatusCode};

use super::rejection::last_response;
use crate::header::{ProtocolError, hop_by_hop};
use crate::http1::FramingError;
use crate::token::MAX_ELEMENTS;

/// A 101 that is none, or an answer that cannot be relayed. The client gets a 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSwitch {
    /// A 101 that is not HTTP/1.1.
    #[error("the 101 is not HTTP/1.1")]
    Version,
    /// A 101 in HTTP/2 or HTTP/3, which do not have it (RFC 9113, section 8.6).
    #[error("a 101 in HTTP/2, which has none")]
    InHttp2,
    /// A 101 to a request that asked for no upgrade.
    #[error("a 101 to a request that asked for no upgrade")]
    Unasked,
    /// A 101 without the connection option `upgrade`.
    #[error("the 101 has no Connection field with the option upgrade")]
    Connection,
    /// A 101 without `Upgrade`, or with an empty one.
    #[error("the 101 has no protocol in an Upgrade field")]
    UpgradeMissing,
    /// A 101 with an `Upgrade` that is not a protocol.
    #[error("the Upgrade field of the 101 is invalid: {0}")]
    UpgradeInvalid(ProtocolError),
    /// A 101 that names the same protocol more than once.
    #[error("the 101 names its protocol more than once in Upgrade")]
    UpgradeRepeated,
    /// A 101 to several protocols at once.
    #[error("the 101 names several protocols in Upgrade")]
    UpgradeSeveral,
    /// A 101 to a protocol that was not asked for.
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
    /// A `Sec-WebSocket-Protocol` field that is empty.
    #[error("the Sec-WebSocket-Protocol field of the 101 is empty")]
    SubprotocolEmpty,
    /// A 101 with several `Sec-WebSocket-Protocol` lines.
    #[error("the Sec-WebSocket-Protocol field of the 101 is repeated")]
    SubprotocolRepeated,
    /// A `Sec-WebSocket-Protocol` with several of the subprotocols offered.
    #[error("the 101 selects several subprotocols")]
    SubprotocolSeveral,
    /// A subprotocol that was not offered, byte for byte.
    #[error("the 101 selects a subprotocol that was not offered")]
    SubprotocolNotOffered,
    /// A 101 with several `Sec-WebSocket-Extensions` lines (RFC 6455, section 11.3.2).
    #[error("the Sec-WebSocket-Extensions field of the 101 is repeated")]
    ExtensionsRepeated,
    /// More extensions than [`MAX_ELEMENTS`].
    #[error("the 101 selects more than {MAX_ELEMENTS} extensions")]
    TooManyExtensions,
    /// An extension that was not offered.
    #[error("the 101 selects an extension that was not offered")]
    ExtensionNotOffered,
    /// A 2xx without a switch, to a client that asked by extended CONNECT and would take it for one.
    #[error("the answer is a success and no switch")]
    Success,
    /// A final answer whose length is ambiguous.
    #[error("the answer's framing is ambiguous: {0}")]
    Framing(FramingError),
    /// More connection options than anyone needs.
    #[error(transparent)]
    ConnectionOptions(#[from] hop_by_hop::TooManyOptions),
}

impl From<ProtocolError> for BadSwitch {
    fn from(error: ProtocolError) -> Self {
        BadSwitch::UpgradeInvalid(error)
    }
}

impl From<FramingError> for BadSwitch {
    fn from(error: FramingError) -> Self {
        BadSwitch::Framing(error)
    }
}

impl BadSwitch {
    /// In a word, for logs and metrics: `switch-version`, `switch-in-http2`, `switch-unasked`, `switch-connection`,
    /// `switch-upgrade-missing`, `switch-upgrade-invalid`, `switch-upgrade-repeated`, `switch-upgrade-several`,
    /// `switch-upgrade-not-offered`, `switch-accept-missing`, `switch-accept-repeated`, `switch-accept-wrong`,
    /// `switch-subprotocol-empty`, `switch-subprotocol-repeated`, `switch-subprotocol-several`,
    /// `switch-subprotocol-not-offered`, `switch-extensions-repeated`, `switch-too-many-extensions`,
    /// `switch-extension-not-offered`, `success-without-switch`, `too-many-connection-options`, or the name of the
    /// [`FramingError`]. None of them changes in a minor version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            BadSwitch::Version => "switch-version",
            BadSwitch::InHttp2 => "switch-in-http2",
            BadSwitch::Unasked => "switch-unasked",
            BadSwitch::Connection => "switch-connection",
            BadSwitch::UpgradeMissing => "switch-upgrade-missing",
            BadSwitch::UpgradeInvalid(_) => "switch-upgrade-invalid",
            BadSwitch::UpgradeRepeated => "switch-upgrade-repeated",
            BadSwitch::UpgradeSeveral => "switch-upgrade-several",
            BadSwitch::UpgradeNotOffered => "switch-upgrade-not-offered",
            BadSwitch::AcceptMissing => "switch-accept-missing",
            BadSwitch::AcceptRepeated => "switch-accept-repeated",
            BadSwitch::AcceptWrong => "switch-accept-wrong",
            BadSwitch::SubprotocolEmpty => "switch-subprotocol-empty",
            BadSwitch::SubprotocolRepeated => "switch-subprotocol-repeated",
            BadSwitch::SubprotocolSeveral => "switch-subprotocol-several",
            BadSwitch::SubprotocolNotOffered => "switch-subprotocol-not-offered",
            BadSwitch::ExtensionsRepeated => "switch-extensions-repeated",
            BadSwitch::TooManyExtensions => "switch-too-many-extensions",
            BadSwitch::ExtensionNotOffered => "switch-extension-not-offered",
            BadSwitch::Success => "success-without-switch",
            BadSwitch::Framing(error) => error.name(),
            BadSwitch::ConnectionOptions(_) => "too-many-connection-options",
        }
    }

    /// One sentence for the operator of the upstream: what to change.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            BadSwitch::Version => {
                "Let every hop to the server speak HTTP/1.1; nginx needs `proxy_http_version 1.1`."
            }
            BadSwitch::InHttp2 => "Answer an extended CONNECT with a 2xx (RFC 8441, section 5).",
            BadSwitch::Unasked => {
                "Answer with 101 only where the request has Upgrade; one that the proxy does not allow goes up without it."
            }
            BadSwitch::Connection => {
                "Send `Connection: Upgrade` with the 101; a hop in between may have removed it."
            }
            BadSwitch::UpgradeMissing => "Send `Upgrade` with the 101; a hop in between may have removed it.",
            BadSwitch::UpgradeInvalid(_) => "Send one protocol in Upgrade, as in `Upgrade: websocket`.",
            BadSwitch::UpgradeRepeated => {
                "Send Upgrade once; a hop in between may have added a line of its own."
            }
            BadSwitch::UpgradeSeveral => "Switch to one of the protocols that the request names.",
            BadSwitch::UpgradeNotOffered => {
                "Switch to a protocol of the request's Upgrade; those that the proxy does not allow were removed from it."
            }
            BadSwitch::AcceptMissing => {
                "Send Sec-WebSocket-Accept; what answers may be no WebSocket server, or a hop has removed the field."
            }
            BadSwitch::AcceptRepeated => {
                "Send Sec-WebSocket-Accept once; a hop in between may have added its own."
            }
            BadSwitch::AcceptWrong => {
                "Keep caches off this path, and let the Sec-WebSocket-Key pass as it is."
            }
            BadSwitch::SubprotocolEmpty => {
                "Leave Sec-WebSocket-Protocol out where no subprotocol is selected."
            }
            BadSwitch::SubprotocolRepeated => {
                "Send Sec-WebSocket-Protocol once; a hop or a framework may have added a line of its own."
            }
            BadSwitch::SubprotocolSeveral => {
                "Select one subprotocol of those offered; do not send back the whole offer."
            }
            BadSwitch::SubprotocolNotOffered => {
                "Select a subprotocol that the request offers, in the same spelling, or none."
            }
            BadSwitch::ExtensionsRepeated => "Send all extensions in one Sec-WebSocket-Extensions line.",
            BadSwitch::TooManyExtensions => "Select only extensions that the request offers.",
            BadSwitch::ExtensionNotOffered => {
                "Select only extensions that the request offers; a hop may have removed the offer and not the answer."
            }
            BadSwitch::Success => {
                "Answer an upgrade with 101, or with a status of 300 and above to decline it."
            }
            BadSwitch::Framing(_) => "Frame the body by one Content-Length, or by chunked alone.",
            BadSwitch::ConnectionOptions(_) => "Send only the connection options that this hop needs.",
        }
    }

    /// The whole answer to the client: a 502 with the reason and the hint, and `Connection: close`.
    ///
    /// As with [`Rejection::into_response`](super::Rejection::into_response), the text repeats nothing that a peer has
    /// sent, and there is no `Content-Length`.
    #[must_use]
    pub fn into_response(self) -> Response<String> {
        let text = format!(
            "the upstream's answer is not acceptable: {self}\n{}\n",
            self.hint()
        );
        last_response(StatusCode::BAD_GATEWAY, text)
    }
}
