//! Law: what servers and proxies write in the body of a refusal, and what they mean by it.

use super::Diagnosis;
use crate::handshake::Rejection;

/// Texts in lower case, by those who write them: Tornado, SockJS and Spring; gorilla/websocket and fiber; coder/websocket;
/// Python's websockets; nginx, Go and Apache of the wrong port; nginx and Node of the size.
const TEXTS: &[(&str, Diagnosis)] = &[
    ("can \"upgrade\" only to \"websocket\"", Diagnosis::UpgradeLost),
    (
        "\"connection\" must be \"upgrade\"",
        Diagnosis::ConnectionFieldLost,
    ),
    (
        "'upgrade' token not found in 'connection' header",
        Diagnosis::ConnectionFieldLost,
    ),
    (
        "'websocket' token not found in 'upgrade' header",
        Diagnosis::UpgradeFieldLost,
    ),
    ("does not contain websocket", Diagnosis::UpgradeFieldLost),
    ("does not contain upgrade", Diagnosis::ConnectionFieldLost),
    ("missing connection header", Diagnosis::UpgradeLost),
    ("invalid connection header", Diagnosis::ConnectionFieldLost),
    ("missing upgrade header", Diagnosis::UpgradeFieldLost),
    ("invalid upgrade header", Diagnosis::UpgradeFieldLost),
    ("cross origin websockets not allowed", Diagnosis::OriginRefused),
    ("origin not allowed", Diagnosis::OriginRefused),
    ("invalid origin header", Diagnosis::OriginRefused),
    (
        "the plain http request was sent to https port",
        Diagnosis::PlainToTlsPort,
    ),
    (
        "client sent an http request to an https server",
        Diagnosis::PlainToTlsPort,
    ),
    (
        "speaking plain http to an ssl-enabled server port",
        Diagnosis::PlainToTlsPort,
    ),
    ("this port speaks tls", Diagnosis::PlainToTlsPort),
    (
        "request header or cookie too large",
        Diagnosis::RequestHeadTooLarge,
    ),
];

/// The refusals of this library that an attempt can meet, whose own words stand in the first line of the body.
const REJECTIONS: &[(Rejection, Diagnosis)] = &[
    (Rejection::HandshakeInHttp10, Diagnosis::Http10Hop),
    (Rejection::UpgradeMissing, Diagnosis::UpgradeLost),
    (Rejection::ConnectionOptionMissing, Diagnosis::ConnectionFieldLost),
    (Rejection::UpgradeRequired, Diagnosis::UpgradeLost),
    (Rejection::Method, Diagnosis::MethodChanged),
    (Rejection::KeyMissing, Diagnosis::KeyChanged),
    (Rejection::KeyRepeated, Diagnosis::KeyChanged),
    (Rejection::VersionMissing, Diagnosis::VersionChanged),
    (Rejection::VersionRepeated, Diagnosis::VersionChanged),
    (Rejection::VersionUnsupported, Diagnosis::VersionChanged),
    (Rejection::SubprotocolNotAllowed, Diagnosis::SubprotocolRefused),
    (Rejection::OriginMissing, Diagnosis::OriginRefused),
    (Rejection::OriginNotAllowed, Diagnosis::OriginRefused),
    (Rejection::NoRoute, Diagnosis::NotFound),
    (Rejection::AmbiguousPath, Diagnosis::NotFound),
    (Rejection::TooManyTunnels, Diagnosis::Unavailable),
    (Rejection::TooManyTunnelsOfPeer, Diagnosis::RateLimited),
    (Rejection::Draining, Diagnosis::Unavailable),
    (Rejection::NoUpgradeHere, Diagnosis::ServerError),
];

/// What a body says.
pub(super) struct Said {
    pub(super) diagnosis: Diagnosis,
    /// In whose words.
    pub(super) words: String,
    /// The remedy in the words of a refusal of this library.
    pub(super) change: Option<&'static str>,
}

pub(super) fn by(body: &str) -> Option<Said> {
    let first = body.lines().next().unwrap_or_default();
    let rejection = |(rejection, diagnosis): &(Rejection, Diagnosis)| {
        (rejection.to_string() == first).then(|| Said {
            diagnosis: *diagnosis,
            words: first.to_owned(),
            change: Some(rejection.hint()),
        })
    };
    let lower = body.to_ascii_lowercase();
    let text = |(text, diagnosis): &(&str, Diagnosis)| {
        let at = lower.find(text)?;
        // Lower case of ASCII changes no length.
        let words = body.get(at..at + text.len()).unwrap_or(text);
        Some(Said {
            diagnosis: *diagnosis,
            words: words.to_owned(),
            change: None,
        })
    };
    REJECTIONS
        .iter()
        .find_map(rejection)
        .or_else(|| TEXTS.iter().find_map(text))
}
