//! Which fields end at this hop (RFC 9110, section 7.6.1), and which ones no `Connection` field can remove.
//!
//! Applied alike to requests, interim, final and 101 responses. Adds nothing but the `TE: trailers` that it found:
//! what the proxy sets of its own comes after.
//!
//! ```
//! use http::HeaderMap;
//! use switchover::header::hop_by_hop;
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("connection", "close, x-internal, cookie".parse().unwrap());
//! headers.insert("x-internal", "1".parse().unwrap());
//! headers.insert("cookie", "session=1".parse().unwrap());
//! hop_by_hop::strip(&mut headers).unwrap();
//! assert_eq!(headers.len(), 1);
//! assert!(headers.contains_key("cookie"), "protected: no client may have it removed");
//! ```

use std::collections::HashSet;

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};

use crate::http1::AnyFields;
use crate::token;

/// Fields that end at this hop whether `Connection` nominates them or not.
///
/// RFC 9110, section 7.6.1 lists the first six; the `Proxy-*` fields are for the next proxy only (section 11.7),
/// which a gateway is; `HTTP2-Settings` belongs to the `h2c` upgrade (RFC 7540, section 3.2.1).
pub const FIXED: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-authentication-info",
    "http2-settings",
];

/// `Proxy` is no field of HTTP. A back end that takes fields as environment variables takes it for `HTTP_PROXY`, and then for the
/// proxy of its own requests (CVE-2016-5385). No recipient behind this proxy can have a use for it, so it ends here too; an
/// operator's rule may still set it.
const MISTAKEN: &str = "proxy";

/// Fields that a nomination cannot remove, besides all that begin with one of [`PROTECTED_PREFIXES`].
///
/// They are meant for every recipient, frame the message, or carry what the origin decides by; their removal by a
/// client has been an attack more than once (CVE-2022-31813, CVE-2021-32813, CVE-2024-45410).
pub const PROTECTED: [&str; 22] = [
    "host",
    "content-length",
    "transfer-encoding",
    "content-type",
    "content-encoding",
    "content-range",
    "content-security-policy",
    "authorization",
    "www-authenticate",
    "cookie",
    "set-cookie",
    "origin",
    "cache-control",
    "vary",
    "date",
    "location",
    "expect",
    "range",
    "strict-transport-security",
    "forwarded",
    "via",
    "x-real-ip",
];

/// Beginnings of the names that a nomination cannot remove.
pub const PROTECTED_PREFIXES: [&str; 3] = ["sec-", "x-forwarded-", "access-control-"];

/// The most connection options that a message may have. More is an attempt to make the proxy work.
pub const MAX_OPTIONS: usize = token::MAX_ELEMENTS;

/// A message with more than [`MAX_OPTIONS`] connection options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Connection field holds more than {MAX_OPTIONS} options")]
#[expect(clippy::exhaustive_structs, reason = "a sentence without parts")]
pub struct TooManyOptions;

/// What [`strip`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stripped {
    /// `TE: trailers` was there and has been kept. Who sends it on must send the connection option `TE` with it
    /// (RFC 9110, section 10.1.4).
    pub trailers: bool,
}

/// Removes the fields that end at this hop: the [`FIXED`] ones and those that any `Connection` line nominates,
/// except the [`PROTECTED`] ones; and `Proxy`, which CGI programs mistake for the variable `HTTP_PROXY`. The order of the others
/// stays.
///
/// `Transfer-Encoding` goes too. That is right for a message whose body is framed again, as hyper does, or that has none.
/// Who relays the body byte for byte, chunks and all, wants [`strip_keeping_coding`]: chunks behind a head that does not
/// announce them are read as the next message.
///
/// # Errors
///
/// More than [`MAX_OPTIONS`] connection options; nothing has been removed then.
pub fn strip(headers: &mut HeaderMap) -> Result<Stripped, TooManyOptions> {
    strip_and(headers, |_| false)
}

/// As [`strip`], for a message whose body goes on in the coding in which it came: `Transfer-Encoding` stays as it is.
///
/// ```
/// use http::HeaderMap;
/// use switchover::header::hop_by_hop;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("connection", "transfer-encoding, x-internal".parse().unwrap());
/// headers.insert("x-internal", "1".parse().unwrap());
/// headers.insert("transfer-encoding", "chunked".parse().unwrap());
/// hop_by_hop::strip_keeping_coding(&mut headers).unwrap();
/// assert_eq!(headers.len(), 1);
/// assert_eq!(headers["transfer-encoding"], "chunked");
/// ```
///
/// # Errors
///
/// As [`strip`].
pub fn strip_keeping_coding(headers: &mut HeaderMap) -> Result<Stripped, TooManyOptions> {
    let coding: Vec<HeaderValue> = headers.get_all(TRANSFER_ENCODING).iter().cloned().collect();
    let stripped = strip(headers)?;
    headers.extend(coding.into_iter().map(|value| (TRANSFER_ENCODING, value)));
    Ok(stripped)
}

/// As [`strip`], and removes what `also` names, in one go.
pub(crate) fn strip_and(
    headers: &mut impl AnyFields,
    also: impl Fn(&HeaderName) -> bool,
) -> Result<Stripped, TooManyOptions> {
    let ends = Ends::of(headers)?;
    headers.keep_only(|name| ends.spare(name) && !also(name));
    ends.restore_trailers(headers);
    Ok(Stripped {
        trailers: ends.trailers,
    })
}

/// As [`strip_and`], and then `Connection` asks for or agrees to the switch that `upgrade` names. Both are set in any case.
///
/// The lines of both fields are replaced where they stand. Where nothing else goes, a map is not built again.
pub(crate) fn strip_for_switch(
    headers: &mut impl AnyFields,
    upgrade: HeaderValue,
    also: impl Fn(&HeaderName) -> bool,
) -> Result<(), TooManyOptions> {
    let ends = Ends::of(headers);
    let mut connection = "upgrade";
    if let Ok(ends) = &ends {
        let is_replaced = |name: &HeaderName| *name == CONNECTION || *name == UPGRADE;
        headers.keep_only(|name| is_replaced(name) || ends.spare(name) && !also(name));
        ends.restore_trailers(headers);
        if ends.trailers {
            connection = "upgrade, te";
        }
    }
    headers.set(CONNECTION, HeaderValue::from_static(connection));
    headers.set(UPGRADE, upgrade);
    ends.map(|_| ())
}

/// The fields that a message has nominated, but for the [`PROTECTED`] ones. None where it has nominated too many, and is refused.
#[cfg(feature = "gateway")]
pub(crate) fn nominated(fields: &impl AnyFields) -> HashSet<HeaderName> {
    let mut nominated = Ends::of(fields).map(|ends| ends.nominated).unwrap_or_default();
    nominated.retain(|name| !is_protected(name.as_str()));
    nominated
}

/// What a message says of the fields that end at this hop.
struct Ends {
    /// By name and not by line: a field is looked up once, however long the `Connection` lines are.
    nominated: HashSet<HeaderName>,
    trailers: bool,
}

impl Ends {
    fn of(fields: &impl AnyFields) -> Result<Self, TooManyOptions> {
        let mut options = 0;
        let mut nominated = HashSet::new();
        for line in fields.lines(&CONNECTION) {
            for option in token::unquoted_elements(line) {
                options += 1;
                if options > MAX_OPTIONS {
                    return Err(TooManyOptions);
                }
                // The options that nominate nothing but what goes anyway are all that most messages have.
                let is_common = [&b"upgrade"[..], b"keep-alive", b"close", b"te"]
                    .iter()
                    .any(|common| option.eq_ignore_ascii_case(common));
                if is_common {
                    continue;
                }
                // An option that is no field name nominates nothing.
                nominated.extend(HeaderName::from_bytes(option));
            }
        }
        let trailers = fields.lines(&TE).any(|line| {
            let mut codings = token::unquoted_elements(line);
            codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
        });
        Ok(Ends { nominated, trailers })
    }

    /// Whether the field goes on.
    fn spare(&self, name: &HeaderName) -> bool {
        let is_nominated = !self.nominated.is_empty() && self.nominated.contains(name);
        !ends_anyway(name) && (!is_nominated || is_protected(name.as_str()))
    }

    fn restore_trailers(&self, fields: &mut impl AnyFields) {
        if self.trailers {
            fields.set(TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// Whether a nomination leaves the field where it is.
#[must_use]
pub fn is_protected(name: &str) -> bool {
    PROTECTED.contains(&name) || PROTECTED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a field ends at this hop even if no `Connection` field nominates it.
pub fn is_fixed(name: &HeaderName) -> bool {
    may_be_one(name) && FIXED.contains(&name.as_str())
}

/// Whether a field ends at this hop whatever a message says of it.
fn ends_anyway(name: &HeaderName) -> bool {
    may_be_one(name) && (FIXED.contains(&name.as_str()) || name.as_str() == MISTAKEN)
}

/// The length spares most names the comparisons, and then the first byte.
fn may_be_one(name: &HeaderName) -> bool {
    const LENGTHS: u32 = {
        let (mut lengths, mut at) = (1 << MISTAKEN.len(), 0);
        while at < FIXED.len() {
            lengths |= 1 << FIXED[at].len();
            at += 1;
        }
        lengths
    };
    let name = name.as_str().as_bytes();
    let has_such_length = name.len() < 32 && LENGTHS & 1 << name.len() != 0;
    has_such_length && matches!(name.first(), Some(b'c' | b'k' | b'p' | b't' | b'u' | b'h'))
}
