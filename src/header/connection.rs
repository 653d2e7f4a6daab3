//! What the `Connection` field means (RFC 9110, section 7.6.1): options, over all lines, as whole tokens.
//!
//! ```
//! use http::HeaderMap;
//! use switchover::header::ConnectionOptions;
//!
//! let mut headers = HeaderMap::new();
//! headers.append("connection", "keep-alive".parse().unwrap());
//! headers.append("connection", "Upgrade".parse().unwrap());
//! assert!(ConnectionOptions::of(&headers).contains("upgrade"));
//! ```

use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};

use super::hop_by_hop::{MAX_OPTIONS, TooManyOptions};
use crate::http1::AnyFields;
use crate::token;

/// The connection options of a message: all elements of all `Connection` lines.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionOptions<'a> {
    headers: &'a HeaderMap,
}

impl<'a> ConnectionOptions<'a> {
    /// The options in these fields.
    #[must_use]
    pub fn of(headers: &'a HeaderMap) -> Self {
        ConnectionOptions { headers }
    }

    /// Whether an option is there. Options are compared as whole tokens, without regard to case:
    /// `no-upgrade` and `Upgrade-Insecure-Requests` are not `upgrade`.
    #[must_use]
    pub fn contains(self, option: &str) -> bool {
        has_option(self.headers, option)
    }

    /// The options in the order in which they stand.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|line| token::unquoted_elements(line.as_bytes()))
    }
}

/// Whether a connection option is there, as [`ConnectionOptions::contains`] says, whatever holds the fields.
pub(crate) fn has_option(fields: &impl AnyFields, option: &str) -> bool {
    fields.lines(&CONNECTION).any(|line| {
        let mut options = token::unquoted_elements(line);
        options.any(|element| element.eq_ignore_ascii_case(option.as_bytes()))
    })
}

/// Refuses more connection options than there may be ([`MAX_OPTIONS`]).
pub(crate) fn check_option_count(fields: &impl AnyFields) -> Result<(), TooManyOptions> {
    let mut lines = fields.lines(&CONNECTION);
    // A line of so many bytes has fewer: each of its options has one at least, and a comma.
    let is_short = |line: &[u8]| line.len() < 2 * MAX_OPTIONS;
    match (lines.next(), lines.next()) {
        (None, _) => return Ok(()),
        (Some(only), None) if is_short(only) => return Ok(()),
        _ => {}
    }
    let mut options = fields.lines(&CONNECTION).flat_map(token::unquoted_elements);
    match options.nth(MAX_OPTIONS) {
        None => Ok(()),
        Some(_) => Err(TooManyOptions),
    }
}

/// A `Connection` value chosen by the presence of `Upgrade`: nginx's
/// `map $http_upgrade $connection_upgrade { default upgrade; '' close; }` as a value.
///
/// For proxies that set the two fields by hand. It looks at nothing else: whether the upgrade is one that both
/// sides agree to is the business of `UpgradeRequest` in the `handshake` module, which needs no map.
///
/// ```
/// use http::HeaderMap;
/// use switchover::header::ConnectionMap;
///
/// let mut headers = HeaderMap::new();
/// assert_eq!(ConnectionMap::default().value(&headers).unwrap(), "close");
/// assert_eq!(ConnectionMap::keep_alive().value(&headers), None);
///
/// headers.insert("upgrade", "websocket".parse().unwrap());
/// ConnectionMap::default().apply(&mut headers);
/// assert_eq!(headers["connection"], "upgrade");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionMap {
    present: Option<HeaderValue>,
    absent: Option<HeaderValue>,
}

impl ConnectionMap {
    /// A map of one's own: the value where `Upgrade` is present and not empty, and the value where it is not.
    /// `None` stands for no `Connection` field at all.
    pub fn new(present: impl Into<Option<HeaderValue>>, absent: impl Into<Option<HeaderValue>>) -> Self {
        ConnectionMap {
            present: present.into(),
            absent: absent.into(),
        }
    }

    /// `upgrade` where `Upgrade` is present, else no field, so that the upstream connection stays open for the
    /// next request: `map $http_upgrade $connection_upgrade { default upgrade; '' ''; }`.
    #[must_use]
    pub fn keep_alive() -> Self {
        ConnectionMap {
            present: Some(HeaderValue::from_static("upgrade")),
            absent: None,
        }
    }

    /// The value for a message with these fields.
    pub fn value(&self, headers: &HeaderMap) -> Option<&HeaderValue> {
        let present = headers.get_all(UPGRADE).iter().any(|line| !line.is_empty());
        if present {
            self.present.as_ref()
        } else {
            self.absent.as_ref()
        }
    }

    /// Replaces all `Connection` lines by the value.
    pub fn apply(&self, headers: &mut HeaderMap) {
        match self.value(headers).cloned() {
            Some(value) => {
                headers.insert(CONNECTION, value);
            }
            None => headers.take_out(&CONNECTION),
        }
    }
}

impl Default for ConnectionMap {
    /// `upgrade` where `Upgrade` is present, else `close`.
    fn default() -> Self {
        ConnectionMap {
            present: Some(HeaderValue::from_static("upgrade")),
            absent: Some(HeaderValue::from_static("close")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_options_as_there_may_be_on_however_many_lines() {
        let options = |count: usize| vec!["a"; count].join(",");
        let cases = [
            (vec![], true),
            (vec![options(MAX_OPTIONS)], true),
            (vec![options(MAX_OPTIONS + 1)], false),
            (vec![options(MAX_OPTIONS), String::new()], true),
            (vec![options(MAX_OPTIONS), options(1)], false),
            (vec![options(MAX_OPTIONS / 2), options(MAX_OPTIONS / 2)], true),
            (vec![",".repeat(4 * MAX_OPTIONS)], true),
            (vec!["a".repeat(4 * MAX_OPTIONS)], true),
        ];
        for (lines, is_fine) in cases {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(CONNECTION, line.parse().unwrap());
            }
            let checked = check_option_count(&headers);
            assert_eq!(checked.is_ok(), is_fine, "{lines:?}");
        }
    }
}
