//! What two ends have agreed on about compression (RFC 7692, section 7).
//!
//! It must not know messages, nor compress anything.

/// What was agreed about permessage-deflate, as far as who reads the messages has to know.
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
        let mut extensions = selected
            .split(',')
            .map(|extension| extension.split(';').map(str::trim));
        let mut parameters = extensions.find_map(|mut parts| {
            let is_deflate = parts.next()?.eq_ignore_ascii_case("permessage-deflate");
            is_deflate.then_some(parts)
        })?;
        let mut agreed = DeflateParameters::default();
        parameters.by_ref().for_each(|parameter| {
            agreed.server_no_context_takeover |= parameter.eq_ignore_ascii_case("server_no_context_takeover");
            agreed.client_no_context_takeover |= parameter.eq_ignore_ascii_case("client_no_context_takeover");
        });
        Some(agreed)
    }
}
