//! What the `Upgrade` field names (RFC 9110, section 7.8): a list of protocols, each a name and perhaps a version.
//!
//! ```
//! use http::HeaderMap;
//! use switchover::header::{Protocol, Protocols};
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("upgrade", "WebSocket, IRC/6.9".parse().unwrap());
//! let protocols = Protocols::of(&headers).unwrap();
//! assert!(protocols.contains(&Protocol::WEBSOCKET));
//! assert!(protocols.contains(&"irc/6.9".parse().unwrap()));
//! ```

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use http::header::{HeaderMap, HeaderValue, UPGRADE};

use crate::http1::AnyFields;
use crate::token::{self, MAX_ELEMENTS};

/// One protocol of an `Upgrade` field: a name, and perhaps a version.
///
/// Names are compared without regard to case, versions exactly (RFC 9110, section 7.8).
#[derive(Clone, Debug)]
pub struct Protocol {
    name: Cow<'static, str>,
    version: Option<Cow<'static, str>>,
}

/// Why an `Upgrade` field, or one protocol, cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// An element that is not `token [ "/" token ]`.
    #[error("a protocol is a token, or two tokens with a slash between")]
    Malformed,
    /// More than [`MAX_ELEMENTS`] protocols.
    #[error("it names more than {MAX_ELEMENTS} protocols")]
    TooMany,
}

impl Protocol {
    /// `websocket` (RFC 6455).
    pub const WEBSOCKET: Protocol = Protocol {
        name: Cow::Borrowed("websocket"),
        version: None,
    };

    /// The name, in the case in which it came.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands after the slash.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The value of an `Upgrade` field that names this protocol alone.
    #[must_use]
    pub fn to_value(&self) -> HeaderValue {
        if self.is_websocket() {
            return HeaderValue::from_static("websocket");
        }
        // Tokens and a slash are valid in every value.
        HeaderValue::try_from(self.to_string()).unwrap_or(HeaderValue::from_static(""))
    }

    /// Whether this is WebSocket, to which the rules of RFC 6455 apply.
    #[must_use]
    pub fn is_websocket(&self) -> bool {
        *self == Protocol::WEBSOCKET
    }

    /// Whether this is HTTP itself, in whatever version: `h2c`, `h2`, a draft of them, `HTTP/2.0`. Within it the origin
    /// takes further requests.
    pub(crate) fn is_http(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let is_or_is_draft_of = |of: &str| {
            name.strip_prefix(of)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        name == "http" || is_or_is_draft_of("h2") || is_or_is_draft_of("h2c") || is_or_is_draft_of("h3")
    }

    fn parse(element: &[u8]) -> Result<Self, ProtocolError> {
        if element.eq_ignore_ascii_case(b"websocket") {
            return Ok(Protocol::WEBSOCKET);
        }
        let mut halves = element.splitn(2, |&byte| byte == b'/');
        let name = halves.next().unwrap_or_default();
        Ok(Protocol {
            name: owned_token(name)?,
            version: halves.next().map(owned_token).transpose()?,
        })
    }
}

fn owned_token(bytes: &[u8]) -> Result<Cow<'static, str>, ProtocolError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if token::is_token(bytes) => Ok(Cow::Owned(text.to_owned())),
        _ => Err(ProtocolError::Malformed),
    }
}

impl PartialEq for Protocol {
    fn eq(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name) && self.version == other.version
    }
}

impl Eq for Protocol {}

impl FromStr for Protocol {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        Protocol::parse(text.as_bytes())
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.version {
            Some(version) => write!(f, "/{version}"),
            None => Ok(()),
        }
    }
}

/// The protocols of all `Upgrade` lines, in order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protocols(Cow<'static, [Protocol]>);

/// What nearly every upgrade asks for: no list has to be made of it.
const ONLY_WEBSOCKET: &[Protocol] = &[Protocol::WEBSOCKET];

impl Protocols {
    /// The protocols that these fields name. None where there is no `Upgrade`.
    ///
    /// # Errors
    ///
    /// An element that is not a protocol, or more than [`MAX_ELEMENTS`] of them.
    pub fn of(headers: &HeaderMap) -> Result<Self, ProtocolError> {
        Protocols::named_by(headers)
    }

    /// As [`of`](Protocols::of), whatever holds the fields.
    pub(crate) fn named_by(fields: &impl AnyFields) -> Result<Self, ProtocolError> {
        let mut lines = fields.lines(&UPGRADE);
        if let (Some(only), None) = (lines.next(), lines.next()) {
            if only.eq_ignore_ascii_case(b"websocket") {
                return Ok(Protocols(Cow::Borrowed(ONLY_WEBSOCKET)));
            }
        }
        let mut protocols = Vec::new();
        for line in fields.lines(&UPGRADE) {
            for element in token::unquoted_elements(line) {
                if protocols.len() == MAX_ELEMENTS {
                    return Err(ProtocolError::TooMany);
                }
                protocols.push(Protocol::parse(element)?);
            }
        }
        Ok(Protocols(protocols.into()))
    }

    /// Whether a protocol is among them.
    #[must_use]
    pub fn contains(&self, protocol: &Protocol) -> bool {
        self.0.contains(protocol)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order of preference.
    pub fn iter(&self) -> std::slice::Iter<'_, Protocol> {
        self.0.iter()
    }

    /// The ones that are also in `allowed`, each once, in the order of `self`.
    #[must_use]
    pub fn intersection(&self, allowed: &Protocols) -> Protocols {
        self.clone().filtered(|protocol| allowed.contains(protocol))
    }

    /// The ones for which `keep` says so, each once, in their order.
    pub(crate) fn filtered(mut self, keep: impl Fn(&Protocol) -> bool) -> Protocols {
        if !self.0.iter().all(&keep) {
            self.0.to_mut().retain(keep);
        }
        if self.0.len() > 1 {
            let mut seen = HashSet::new();
            self.0.to_mut().retain(|protocol| {
                seen.insert((protocol.name.to_ascii_lowercase(), protocol.version.clone()))
            });
        }
        self
    }

    /// Adds a protocol at the end, unless it is there.
    pub fn add(&mut self, protocol: Protocol) {
        if !self.contains(&protocol) {
            self.0.to_mut().push(protocol);
        }
    }

    /// The value of an `Upgrade` field that names these.
    pub fn to_value(&self) -> HeaderValue {
        match &self.0[..] {
            [only] => only.to_value(),
            protocols => {
                let names: Vec<String> = protocols.iter().map(Protocol::to_string).collect();
                // Tokens and slashes are valid in every value.
                HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static(""))
            }
        }
    }
}

impl FromIterator<Protocol> for Protocols {
    fn from_iter<I: IntoIterator<Item = Protocol>>(protocols: I) -> Self {
        Protocols(protocols.into_iter().collect())
    }
}
