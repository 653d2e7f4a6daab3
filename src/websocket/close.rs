//! Which status codes a Close frame may carry, and how its payload is read (RFC 6455 5.5.1, 7.4).
//!
//! It must not know frames or masks: a payload comes in unmasked. Nor who closed first, or what became of the
//! connection.

use std::fmt;

/// A status code of a closed WebSocket connection (RFC 6455 7.4).
///
/// Any number can be one here, because logs also speak of those that are never sent, such as 1006. Whether a Close
/// frame may carry it is [`may_be_sent`](Self::may_be_sent).
///
/// ```
/// use switchover::websocket::CloseCode;
///
/// assert_eq!(CloseCode::GOING_AWAY.to_string(), "1001 Going Away");
/// assert_eq!(CloseCode(4999).to_string(), "4999");
/// assert!(CloseCode(4999).may_be_sent());
/// assert!(!CloseCode::ABNORMAL_CLOSURE.may_be_sent());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct CloseCode(pub u16);

/// One line for each code of the registry, so that a constant and its name cannot disagree.
macro_rules! registry {
    ($($code:literal $constant:ident $name:literal $doc:literal;)*) => {
        impl CloseCode {
            $(#[doc = $doc] pub const $constant: Self = Self($code);)*

            /// The name in the IANA registry of WebSocket close codes, or `None` if it has none there.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

registry! {
    1000 NORMAL_CLOSURE "Normal Closure" "The purpose of the connection has been fulfilled (RFC 6455 7.4.1).";
    1001 GOING_AWAY "Going Away" "A server goes down, or a browser leaves the page (RFC 6455 7.4.1).";
    1002 PROTOCOL_ERROR "Protocol error" "The other side broke the protocol (RFC 6455 7.4.1).";
    1003 UNSUPPORTED_DATA "Unsupported Data" "A kind of data that this endpoint cannot take (RFC 6455 7.4.1).";
    1005 NO_STATUS_RECEIVED "No Status Rcvd" "Never sent: the Close frame had no payload (RFC 6455 7.4.1).";
    1006 ABNORMAL_CLOSURE "Abnormal Closure" "Never sent: there was no Close frame (RFC 6455 7.4.1).";
    1007 INVALID_FRAME_PAYLOAD "Invalid frame payload data" "A text that is not UTF-8 (RFC 6455 7.4.1).";
    1008 POLICY_VIOLATION "Policy Violation" "A policy forbids it; there is no better code (RFC 6455 7.4.1).";
    1009 MESSAGE_TOO_BIG "Message Too Big" "A message too big to be processed (RFC 6455 7.4.1).";
    1010 MANDATORY_EXTENSION "Mandatory Ext." "The server did not agree to an extension (RFC 6455 7.4.1).";
    1011 INTERNAL_ERROR "Internal Error" "The server met with something unexpected (RFC 6455 7.4.1).";
    1012 SERVICE_RESTART "Service Restart" "The service restarts; reconnect after 5 to 30 seconds (IANA).";
    1013 TRY_AGAIN_LATER "Try Again Later" "The service is overloaded; try another or later (IANA).";
    1014 BAD_GATEWAY "Bad Gateway" "A gateway got a bad response from its upstream (IANA).";
    1015 TLS_HANDSHAKE "TLS handshake" "Never sent: the TLS handshake failed (RFC 6455 7.4.1).";
    3000 UNAUTHORIZED "Unauthorized" "Authentication is required (IANA).";
    3003 FORBIDDEN "Forbidden" "Authenticated, but not allowed (IANA).";
    3008 TIMEOUT "Timeout" "The endpoint took too long (IANA).";
}

impl CloseCode {
    /// Whether a Close frame may carry this code.
    ///
    /// RFC 6455 7.4.2: codes below 1000 "are not used"; 1000 to 2999 are for the protocol, its revisions and
    /// extensions, 3000 to 3999 for registered libraries, 4000 to 4999 for private use. RFC 6455 7.4.1 says of 1005,
    /// 1006 and 1015 that an endpoint MUST NOT send them. Codes up to 2999 without a meaning today are let through:
    /// the two endpoints may know a later one.
    #[must_use]
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=4999)
            && !matches!(
                self,
                Self::NO_STATUS_RECEIVED | Self::ABNORMAL_CLOSURE | Self::TLS_HANDSHAKE
            )
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// What a Close frame says: why, for a program, and why, for a person (RFC 6455 5.5.1).
///
/// ```
/// use switchover::websocket::{CloseCode, ClosePayload};
///
/// let close = ClosePayload::decode(b"\x03\xe8bye")?;
/// assert_eq!(close, Some(ClosePayload::new(CloseCode::NORMAL_CLOSURE, "bye")));
/// assert_eq!(ClosePayload::decode(b"")?, None);
/// # Ok::<(), switchover::websocket::ClosePayloadError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "RFC 6455 has these parts")]
pub struct ClosePayload<'a> {
    /// The status code.
    pub code: CloseCode,
    /// The reason; often empty, and not always meant for people to see.
    pub reason: &'a str,
}

impl<'a> ClosePayload<'a> {
    /// The longest reason, in bytes: a control frame has room for 125, and the code takes two (RFC 6455 5.5).
    pub const MAX_REASON_LENGTH: usize = 123;

    /// A code and a reason.
    #[must_use]
    pub const fn new(code: CloseCode, reason: &'a str) -> Self {
        Self { code, reason }
    }

    /// Reads the payload of a Close frame, its mask removed. `None` if it is empty, which is allowed.
    ///
    /// # Errors
    ///
    /// [`ClosePayloadError`] if no endpoint may send such a payload.
    pub fn decode(payload: &'a [u8]) -> Result<Option<Self>, ClosePayloadError> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            // RFC 6455 5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer".
            return if payload.is_empty() {
                Ok(None)
            } else {
                Err(ClosePayloadError::HalfACode)
            };
        };
        let code = CloseCode(u16::from_be_bytes(*code));
        // RFC 6455 5.5.1: what follows is "UTF-8-encoded data"; 8.1 fails the connection where it is not.
        let reason = std::str::from_utf8(reason).map_err(|_| ClosePayloadError::ReasonNotUtf8)?;
        let close = Self { code, reason };
        close.check()?;
        Ok(Some(close))
    }

    /// Appends the payload of a Close frame to `out`, not masked.
    ///
    /// # Errors
    ///
    /// [`ClosePayloadError`] if no endpoint may send such a payload; then `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), ClosePayloadError> {
        self.check()?;
        out.extend_from_slice(&self.code.0.to_be_bytes());
        out.extend_from_slice(self.reason.as_bytes());
        Ok(())
    }

    const fn check(&self) -> Result<(), ClosePayloadError> {
        if !self.code.may_be_sent() {
            return Err(ClosePayloadError::CodeNotAllowed(self.code));
        }
        if self.reason.len() > Self::MAX_REASON_LENGTH {
            return Err(ClosePayloadError::ReasonTooLong {
                length: self.reason.len(),
            });
        }
        Ok(())
    }
}

/// Why bytes are not the payload of a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClosePayloadError {
    /// One byte, where a code has two (RFC 6455 5.5.1).
    #[error("the close payload is one byte long; a code has two")]
    HalfACode,
    /// A code that no Close frame may carry (RFC 6455 7.4).
    #[error("a Close frame may not carry the code {0}: codes are 1000 to 4999, without 1005, 1006 and 1015")]
    CodeNotAllowed(CloseCode),
    /// A reason that is not UTF-8 (RFC 6455 5.5.1).
    #[error("the close reason is not UTF-8")]
    ReasonNotUtf8,
    /// A reason that does not fit in a control frame (RFC 6455 5.5).
    #[error("the close reason is {length} bytes long; a Close frame has room for 123")]
    ReasonTooLong {
        /// The length of the reason, in bytes.
        length: usize,
    },
}

impl ClosePayloadError {
    /// The code to close with: 1007 for a reason that is not UTF-8 (RFC 6455 8.1), otherwise 1002.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ReasonNotUtf8 => CloseCode::INVALID_FRAME_PAYLOAD,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc6455_7_4_codes_that_may_be_sent() {
        let cases: &[(std::ops::RangeInclusive<u16>, bool)] = &[
            (0..=999, false),
            (1000..=1004, true),
            (1005..=1006, false),
            (1007..=1014, true),
            (1015..=1015, false),
            (1016..=4999, true),
            (5000..=u16::MAX, false),
        ];
        for (codes, allowed) in cases {
            for code in codes.clone() {
                assert_eq!(CloseCode(code).may_be_sent(), *allowed, "{code}");
            }
        }
    }

    #[test]
    fn rfc6455_11_7_names() {
        assert_eq!(CloseCode(1000).to_string(), "1000 Normal Closure");
        assert_eq!(CloseCode(1006), CloseCode::ABNORMAL_CLOSURE);
        assert_eq!(CloseCode(1004).name(), None);
        assert_eq!(CloseCode(4000).to_string(), "4000");
    }

    #[test]
    fn rfc6455_5_5_1_payloads() {
        let longest = [b"\x03\xe8", &[b'a'; 123][..]].concat();
        let too_long = [b"\x03\xe8", &[b'a'; 124][..]].concat();
        let not_allowed = |code| Err(ClosePayloadError::CodeNotAllowed(CloseCode(code)));
        let close = |code, reason| Ok(Some(ClosePayload::new(CloseCode(code), reason)));
        type Decoded<'a> = Result<Option<ClosePayload<'a>>, ClosePayloadError>;
        let cases: &[(&str, &[u8], Decoded)] = &[
            ("empty", b"", Ok(None)),
            ("one byte", b"\x03", Err(ClosePayloadError::HalfACode)),
            ("a code", b"\x03\xe8", close(1000, "")),
            ("a code and a reason", b"\x13\x87bye", close(4999, "bye")),
            (
                "a reason beyond ASCII",
                b"\x0b\xb8\xc3\xbc\xf0\x9f\x91\x8b",
                close(3000, "\u{fc}\u{1f44b}"),
            ),
            (
                "the longest reason",
                &longest,
                close(1000, std::str::from_utf8(&longest[2..]).unwrap()),
            ),
            (
                "too long a reason",
                &too_long,
                Err(ClosePayloadError::ReasonTooLong { length: 124 }),
            ),
            (
                "cut within a character",
                b"\x03\xe8\xc3",
                Err(ClosePayloadError::ReasonNotUtf8),
            ),
            (
                "a surrogate",
                b"\x03\xe8\xed\xa0\x80",
                Err(ClosePayloadError::ReasonNotUtf8),
            ),
            ("zero", b"\x00\x00", not_allowed(0)),
            ("no status", b"\x03\xed", not_allowed(1005)),
            ("abnormal", b"\x03\xee", not_allowed(1006)),
            ("TLS handshake", b"\x03\xf7", not_allowed(1015)),
            ("beyond the private codes", b"\x13\x88bye", not_allowed(5000)),
        ];
        for (name, payload, expected) in cases {
            assert_eq!(ClosePayload::decode(payload), *expected, "{name}");
        }
    }

    #[test]
    fn rfc6455_5_5_1_refuses_to_encode_what_may_not_be_sent() {
        let reason = "a".repeat(124);
        for close in [
            ClosePayload::new(CloseCode::NO_STATUS_RECEIVED, ""),
            ClosePayload::new(CloseCode(999), "why"),
            ClosePayload::new(CloseCode::NORMAL_CLOSURE, &reason),
        ] {
            let mut out = b"before".to_vec();
            assert!(close.encode(&mut out).is_err(), "{close:?}");
            assert_eq!(out, b"before");
        }
    }

    #[test]
    fn errors_name_the_code_to_close_with() {
        assert_eq!(ClosePayloadError::ReasonNotUtf8.close_code(), CloseCode(1007));
        assert_eq!(ClosePayloadError::HalfACode.close_code(), CloseCode(1002));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(code: u16, reason in "\\PC{0,60}") {
            let close = ClosePayload::new(CloseCode(code), &reason);
            let mut payload = Vec::new();
            match close.encode(&mut payload) {
                Ok(()) => prop_assert_eq!(ClosePayload::decode(&payload), Ok(Some(close))),
                Err(_) => prop_assert!(!close.code.may_be_sent() || reason.len() > 123),
            }
        }

        #[test]
        fn decode_never_panics_and_is_exact(payload: Vec<u8>) {
            if let Ok(Some(close)) = ClosePayload::decode(&payload) {
                let mut encoded = Vec::new();
                close.encode(&mut encoded).unwrap();
                prop_assert_eq!(encoded, payload);
            }
        }
    }
}
