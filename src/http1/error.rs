//! Everything that can be wrong with a message head, and the status of the answer.

use http::StatusCode;
use http::header::HeaderName;

use super::{FramingError, HostError, RequestLineError, TargetError};
use crate::token::MAX_ELEMENTS;

/// Why a message head was refused.
///
/// [`status`](HeadError::status) is the answer to the client whose *request* it was. An upstream's answer with any
/// of these is a 502 to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// A line feed without a carriage return before it (RFC 9112, section 2.2).
    #[error("a line ends with a bare line feed at byte {offset}")]
    BareLineFeed {
        /// Offset from the start of the head.
        offset: usize,
    },
    /// A carriage return without a line feed after it (RFC 9112, section 2.2).
    #[error("a bare carriage return at byte {offset}")]
    BareCarriageReturn {
        /// Offset from the start of the head.
        offset: usize,
    },
    /// A control byte other than a tab (RFC 9110, section 5.5).
    #[error("the control byte 0x{byte:02x} at byte {offset}")]
    ControlByte {
        /// Offset from the start of the head.
        offset: usize,
        /// The byte.
        byte: u8,
    },
    /// A field line that begins with white space: obsolete line folding (RFC 9112, section 5.2).
    #[error("a folded field line at byte {offset}")]
    LineFolding {
        /// Offset from the start of the head.
        offset: usize,
    },
    /// The first bytes are a record of TLS (RFC 8446, section 5.1): a handshake, or an alert.
    #[error("these are the bytes of TLS, not of HTTP")]
    Tls,
    /// The first line of a response is not a status line (RFC 9112, section 4).
    #[error("the first line is malformed")]
    StartLine,
    /// The first line of a request is not a request line (RFC 9112, section 3).
    #[error("the request line is malformed: {0}")]
    RequestLine(RequestLineError),
    /// A well-formed version other than HTTP/1.1 and HTTP/1.0.
    #[error("the HTTP version is not 1.1 or 1.0")]
    Version,
    /// The request target (RFC 9112, section 3.2).
    #[error("the request target is invalid: {0}")]
    Target(TargetError),
    /// A field line without a colon, with an invalid name, or with white space before the colon
    /// (RFC 9112, section 5.1).
    #[error("a field line has an invalid name (white space before the colon counts)")]
    FieldName,
    /// A field value with bytes that no value may hold; in HTTP/2 and HTTP/3 with white space at an end too (RFC 9113,
    /// section 8.2.1).
    #[error("a field value holds an invalid byte, or in HTTP/2 white space at an end")]
    FieldValue,
    /// The `Host` field (RFC 9112, section 3.2).
    #[error(transparent)]
    Host(#[from] HostError),
    /// A field that must not be repeated, and is (RFC 9110, section 5.3). In a response only where the values differ.
    #[error("the field {field} is repeated")]
    RepeatedField {
        /// Its name.
        field: HeaderName,
    },
    /// `Content-Length` and `Transfer-Encoding` (RFC 9112, section 6).
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The first line alone is longer than the limit.
    #[error("the first line is longer than the limit of {limit} bytes for a head")]
    StartLineTooLong {
        /// [`HeadLimits::bytes`](super::HeadLimits::bytes).
        limit: usize,
    },
    /// The head is longer than the limit.
    #[error("the head is longer than the limit of {limit} bytes")]
    TooLarge {
        /// [`HeadLimits::bytes`](super::HeadLimits::bytes).
        limit: usize,
    },
    /// The head has more field lines than the limit.
    #[error("the head has more than the limit of {limit} fields")]
    TooManyFields {
        /// [`HeadLimits::fields`](super::HeadLimits::fields).
        limit: usize,
    },
    /// A list that this proxy reads or adds to has more elements than a request has hops:
    /// [`MAX_ELEMENTS`](crate::token::MAX_ELEMENTS).
    #[error("the list {field} has more than {MAX_ELEMENTS} elements")]
    TooManyElements {
        /// Its name.
        field: HeaderName,
    },
}

impl From<RequestLineError> for HeadError {
    fn from(error: RequestLineError) -> Self {
        HeadError::RequestLine(error)
    }
}

impl From<TargetError> for HeadError {
    fn from(error: TargetError) -> Self {
        HeadError::Target(error)
    }
}

impl HeadError {
    /// In a word, for logs and metrics: `bare-line-feed`, `bare-carriage-return`, `control-byte`, `line-folding`, `tls`,
    /// `status-line`, `version`, `field-name`, `field-value`, `repeated-field`, `start-line-too-long`, `head-too-large`,
    /// `too-many-fields`, `too-many-elements`; else the name of the [`RequestLineError`], [`TargetError`], [`HostError`] or
    /// [`FramingError`]. None of them changes in a minor version.
    pub const fn name(&self) -> &'static str {
        match self {
            HeadError::BareLineFeed { .. } => "bare-line-feed",
            HeadError::BareCarriageReturn { .. } => "bare-carriage-return",
            HeadError::ControlByte { .. } => "control-byte",
            HeadError::LineFolding { .. } => "line-folding",
            HeadError::Tls => "tls",
            HeadError::StartLine => "status-line",
            HeadError::RequestLine(error) => error.name(),
            HeadError::Version => "version",
            HeadError::Target(error) => error.name(),
            HeadError::FieldName => "field-name",
            HeadError::FieldValue => "field-value",
            HeadError::Host(error) => error.name(),
            HeadError::RepeatedField { .. } => "repeated-field",
            HeadError::Framing(error) => error.name(),
            HeadError::StartLineTooLong { .. } => "start-line-too-long",
            HeadError::TooLarge { .. } => "head-too-large",
            HeadError::TooManyFields { .. } => "too-many-fields",
            HeadError::TooManyElements { .. } => "too-many-elements",
        }
    }

    /// One sentence for the sender of the head, client or upstream: what to change.
    pub const fn hint(&self) -> &'static str {
        match self {
            HeadError::BareLineFeed { .. } => {
                "End each line of the head with CRLF (\\r\\n), not with a line feed alone."
            }
            HeadError::BareCarriageReturn { .. } => {
                "Send a carriage return only at the end of a line, before its line feed."
            }
            HeadError::ControlByte { .. } => {
                "Send no control byte but the tab; encode binary values in base64."
            }
            HeadError::LineFolding { .. } => {
                "Send each field in one line; a line cannot begin with white space."
            }
            HeadError::Tls => {
                "This port speaks plain HTTP: use http:// or ws:// for it, or give the listener a certificate."
            }
            HeadError::StartLine => {
                "Begin the answer with a status line: HTTP/1.1, a space, and three digits."
            }
            HeadError::RequestLine(_) => "Send a method, a target and HTTP/1.1, with one space between them.",
            HeadError::Version => "Speak HTTP/1.1.",
            HeadError::Target(_) => "Send a path, percent-encoded where it needs to be.",
            HeadError::FieldName => {
                "Send each field as NAME: VALUE, with a token for its name and no space before the colon."
            }
            HeadError::FieldValue => {
                "Send only visible characters in a value, and spaces and tabs between them."
            }
            HeadError::Host(HostError::NoAuthority) => {
                "Send an :authority. A layer in front that replaces the URI keeps its scheme and authority, or sets Host first."
            }
            HeadError::Host(_) => "Send one Host field, with a host and perhaps a port.",
            HeadError::RepeatedField { .. } => {
                "Send the field once; a proxy in between may have added its own."
            }
            HeadError::Framing(_) => "Frame the body by one Content-Length, or by chunked alone.",
            HeadError::StartLineTooLong { .. } | HeadError::TooLarge { .. } => {
                "Send less, cookies above all, or raise HeadLimits::max_bytes."
            }
            HeadError::TooManyFields { .. } => "Send fewer fields, or raise HeadLimits::max_fields.",
            HeadError::TooManyElements { .. } => {
                "Look for a loop: two proxies that send each other the same request add an element each time."
            }
        }
    }

    /// What to answer to a client whose request head this was: 400, 414, 431, 501 or 505.
    pub fn status(&self) -> StatusCode {
        match self {
            HeadError::StartLineTooLong { .. } | HeadError::Target(TargetError::TooLong) => {
                StatusCode::URI_TOO_LONG
            }
            HeadError::TooLarge { .. }
            | HeadError::TooManyFields { .. }
            | HeadError::TooManyElements { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            HeadError::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            // RFC 9112, section 6.1: a transfer coding that is not understood is a 501.
            HeadError::Framing(FramingError::UnknownCoding) => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
