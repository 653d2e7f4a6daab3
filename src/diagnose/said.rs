//! What servers and proxies write when they refuse, and what they mean by it: in the reason phrase, or in the body.

use super::{Answer, Diagnosis};
use crate::handshake::Rejection;

/// Texts in lower case that mean one thing alone, with those that write them.
const TEXTS: &[(&str, Diagnosis)] = &[
    // Tornado, SockJS, Spring.
    ("can \"upgrade\" only to \"websocket\"", Diagnosis::UpgradeLost),
    (
        "\"connection\" must be \"upgrade\"",
        Diagnosis::ConnectionFieldLost,
    ),
    // gorilla/websocket, fiber.
    (
        "'upgrade' token not found in 'connection' header",
        Diagnosis::ConnectionFieldLost,
    ),
    (
        "'websocket' token not found in 'upgrade' header",
        Diagnosis::UpgradeFieldLost,
    ),
    // coder/websocket.
    ("does not contain websocket", Diagnosis::UpgradeFieldLost),
    ("does not contain upgrade", Diagnosis::ConnectionFieldLost),
    // Python's websockets.
    ("missing connection header", Diagnosis::UpgradeLost),
    ("invalid connection header", Diagnosis::ConnectionFieldLost),
    ("missing upgrade header", Diagnosis::UpgradeFieldLost),
    ("invalid upgrade header", Diagnosis::UpgradeFieldLost),
    // Tornado; Phoenix and others; Python's websockets.
    ("cross origin websockets not allowed", Diagnosis::OriginRefused),
    ("origin not allowed", Diagnosis::OriginRefused),
    ("invalid origin header", Diagnosis::OriginRefused),
    ("invalid cors request", Diagnosis::OriginRefused),
    // Django, Spring Security, csurf, Rails.
    ("csrf verification failed", Diagnosis::CsrfRefused),
    ("invalid csrf token", Diagnosis::CsrfRefused),
    ("provided csrf token", Diagnosis::CsrfRefused),
    ("invalid authenticity token", Diagnosis::CsrfRefused),
    // Engine.IO and Socket.IO; ASP.NET SignalR.
    ("session id unknown", Diagnosis::SessionUnknown),
    ("no connection with that id", Diagnosis::SessionUnknown),
    ("transport unknown", Diagnosis::ProtocolParameters),
    ("unsupported protocol version", Diagnosis::ProtocolParameters),
    // Autobahn; Starlette and webpack's server; Vite; Rails; Django; IIS; Go.
    ("port in http host header", Diagnosis::HostRefused),
    ("invalid host header", Diagnosis::HostRefused),
    ("blocked request. this host", Diagnosis::HostRefused),
    ("blocked host", Diagnosis::HostRefused),
    ("disallowedhost", Diagnosis::HostRefused),
    ("invalid http_host header", Diagnosis::HostRefused),
    ("invalid hostname", Diagnosis::HostRefused),
    ("malformed host header", Diagnosis::HostRefused),
    ("missing required host header", Diagnosis::HostRefused),
    // nginx, Go, Apache, this library: the wrong port.
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
    // nginx; Node.
    (
        "request header or cookie too large",
        Diagnosis::RequestHeadTooLarge,
    ),
];

/// Texts that mean more than one thing. The second is what they mostly mean.
const HINTS: &[(&str, Diagnosis)] = &[
    // Engine.IO, of a WebSocket transport without an upgrade; it says the same of other faults.
    ("{\"code\":3,\"message\":\"bad request\"}", Diagnosis::UpgradeLost),
    // ASP.NET and others, of any request that is no handshake to them.
    ("not a websocket request", Diagnosis::UpgradeLost),
    ("expected websocket", Diagnosis::UpgradeLost),
    ("expected upgrade: websocket", Diagnosis::UpgradeLost),
    // Python frameworks, of a WebSocket handler that was called without an upgrade.
    (
        "cannot obtain socket from wsgi environment",
        Diagnosis::UpgradeLost,
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
    (Rejection::PeerLimit, Diagnosis::RateLimited),
    (Rejection::Draining, Diagnosis::Unavailable),
    (Rejection::NoUpgradeHere, Diagnosis::ServerError),
];

/// What an answer says.
pub(super) struct Said {
    pub(super) diagnosis: Diagnosis,
    /// Whether the words mean that alone.
    pub(super) certain: bool,
    /// In whose words.
    pub(super) words: String,
    /// The remedy in the words of a refusal of this library.
    pub(super) change: Option<&'static str>,
}

pub(super) fn by(answer: &Answer) -> Option<Said> {
    let first = answer.text().lines().next().unwrap_or_default();
    let rejection = |(rejection, diagnosis): &(Rejection, Diagnosis)| {
        (rejection.to_string() == first).then(|| Said {
            diagnosis: *diagnosis,
            certain: true,
            words: first.to_owned(),
            change: Some(rejection.hint()),
        })
    };
    let lower = answer.texts().map(str::to_ascii_lowercase);
    let among = |texts: &[(&str, Diagnosis)], certain| {
        let found = |(text, _): &&(&str, Diagnosis)| lower.iter().any(|lower| lower.contains(text));
        let (text, diagnosis) = texts.iter().find(found)?;
        let words = answer
            .words()
            .filter(|words| words.to_ascii_lowercase().contains(text));
        Some(Said {
            diagnosis: *diagnosis,
            certain,
            // A text further down in the body is quoted alone.
            words: words.or_else(|| quoted(answer, &lower, text)).unwrap_or_default(),
            change: None,
        })
    };
    let by_rejection = REJECTIONS.iter().find_map(rejection);
    by_rejection
        .or_else(|| among(TEXTS, true))
        .or_else(|| among(HINTS, false))
}

/// The words as the answer writes them. Lower case of ASCII changes no length.
fn quoted(answer: &Answer, lower: &[String; 2], text: &str) -> Option<String> {
    let mut both = answer.texts().into_iter().zip(lower);
    let found = both.find_map(|(original, lower)| {
        let at = lower.find(text)?;
        original.get(at..at + text.len())
    });
    found.map(str::to_owned)
}
