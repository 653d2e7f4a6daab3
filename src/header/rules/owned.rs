//! This file decides which fields no rule may touch: those in which the proxy itself states what it does.

use http::header::{
    CONTENT_LENGTH, EXPECT, HOST, HeaderName, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
};

use super::TemplateError;
use crate::header::hop_by_hop;

/// A rule that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Not the name of a field.
    #[error("{0:?} is not the name of a field")]
    Name(String),
    /// A field of the proxy's own: the message's framing, the connection, the handshake. Where it says what the proxy
    /// does anyway, as `Connection: upgrade`, the rule can be left out.
    #[error("{0} is set by the proxy")]
    Owned(String),
    /// `Host`.
    #[error("Host is not set by a rule but by the choice of a HostRule")]
    Host,
    /// A [`HostRule`](super::HostRule) that is no host.
    #[error("a Host is a host with an optional port")]
    InvalidHost,
    /// The value.
    #[error(transparent)]
    Value(#[from] TemplateError),
}

/// What a rule does to a field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    Set,
    Remove,
}

/// The name, if a rule for requests may touch it.
pub(super) fn request_field(name: &str, touch: Touch) -> Result<HeaderName, RuleError> {
    let field = parse(name)?;
    if field == HOST {
        return Err(RuleError::Host);
    }
    // An offer that the upstream never sees is an offer that it does not take. One that the client has not made
    // would be taken.
    let offer = field == SEC_WEBSOCKET_EXTENSIONS || field == SEC_WEBSOCKET_PROTOCOL;
    if is_owned(&field) && !(offer && touch == Touch::Remove) {
        return Err(RuleError::Owned(name.to_owned()));
    }
    Ok(field)
}

/// The name, if a rule for responses may touch it.
pub(super) fn response_field(name: &str) -> Result<HeaderName, RuleError> {
    let field = parse(name)?;
    match is_owned(&field) {
        true => Err(RuleError::Owned(name.to_owned())),
        false => Ok(field),
    }
}

fn parse(name: &str) -> Result<HeaderName, RuleError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| RuleError::Name(name.to_owned()))
}

/// Whether a field says what the proxy itself does.
pub(super) fn is_owned(name: &HeaderName) -> bool {
    hop_by_hop::is_fixed(name)
        || *name == CONTENT_LENGTH
        || *name == EXPECT
        || name.as_str().starts_with("sec-websocket-")
}

/// Whether a field looks like one that says what the proxy does.
pub(super) fn looks_owned(name: &HeaderName) -> bool {
    let folded = HeaderName::from_bytes(name.as_str().replace('_', "-").as_bytes());
    folded.is_ok_and(|folded| is_owned(&folded))
}
