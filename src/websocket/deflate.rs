//! What two ends have agreed on about compression (RFC 7692, section 7).
//!
//! It must not know messages, nor compress anything.

use crate::token;

/// What was agreed about permessage-deflate, as far as a reader of the messages has to know it.
///
/// ```
/// use switchover::websocket::DeflateParameters;
///
/// let agreed = DeflateParameters::read("permessage-deflate; server_no_context_takeover; client_max_window_bits=12");
/// let agreed = agreed.expect("it was agreed on");
/// assert!(agreed.server_no_context_takeover && !agreed.client_no_context_takeover);
/// assert_eq!(DeflateParameters::read("x-snappy"), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateParameters {
    /// No message of the server's refers to an earlier one (RFC 7692, section 7.1.1.1).
    pub server_no_context_takeover: bool,
    /// No message of the client's refers to an earlier one (RFC 7692, section 7.1.1.2).
    pub client_no_context_takeover: bool,
}

impl DeflateParameters {
    /// Reads the `Sec-WebSocket-Extensions` of an answer. `None`: permessage-deflate is not among them.
    #[must_use]
    pub fn read(selected: &str) -> Option<Self> {
        let mut extensions = token::elements(selected.as_bytes()).map(parts);
        let parameters = extensions.find_map(|mut parts| {
            let is_deflate = parts.next()?.eq_ignore_ascii_case(b"permessage-deflate");
            is_deflate.then_some(parts)
        })?;
        let mut agreed = DeflateParameters::default();
        for parameter in parameters {
            agreed.server_no_context_takeover |=
                parameter.eq_ignore_ascii_case(b"server_no_context_takeover");
            agreed.client_no_context_takeover |=
                parameter.eq_ignore_ascii_case(b"client_no_context_takeover");
        }
        Some(agreed)
    }
}

/// The name of an extension, and its parameters.
fn parts(extension: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(extension);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let (part, others) = match token::unquoted(bytes, b';') {
            Some(end) => (&bytes[..end], Some(&bytes[end + 1..])),
            None => (bytes, None),
        };
        rest = others;
        Some(token::trim_ows(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_are_those_of_its_own_element() {
        let agreed = |server, client| {
            Some(DeflateParameters {
                server_no_context_takeover: server,
                client_no_context_takeover: client,
            })
        };
        for (selected, expected) in [
            ("permessage-deflate", agreed(false, false)),
            (
                "PerMessage-Deflate ;Server_No_Context_Takeover",
                agreed(true, false),
            ),
            (
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=10",
                agreed(false, true),
            ),
            (
                "x; client_no_context_takeover, permessage-deflate;server_no_context_takeover",
                agreed(true, false),
            ),
            (
                "permessage-deflate, x; client_no_context_takeover",
                agreed(false, false),
            ),
            (
                r#"permessage-deflate; x="a; client_no_context_takeover""#,
                agreed(false, false),
            ),
            (r#"x="a, permessage-deflate""#, None),
            ("x-permessage-deflate", None),
            ("", None),
        ] {
            assert_eq!(DeflateParameters::read(selected), expected, "{selected}");
        }
    }
}
