//! By what of a request it belongs to a server. Pure.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{COOKIE, HeaderName};

use super::balance::{BalanceError, hash};
use crate::connect::ConnectRequest;

/// What of a request says which server it belongs to. Values are compared as bytes, as they were sent; an empty one is
/// none.
///
/// Danger: all but the address is the client's own choice. Who wants to can send everything to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Key {
    /// The client's address: the peer's, or that of the client behind [trusted](crate::header::TrustedProxies) proxies. Of
    /// an IPv6 address the first 64 bits count, because the rest changes by the day.
    ///
    /// Behind a proxy that is not trusted, all clients are one.
    Client,
    /// The first line of a field, as it goes upstream: after the rules for fields.
    Header(HeaderName),
    /// The first cookie of this name.
    Cookie(String),
    /// The first argument of this name in the query, not decoded.
    Query(String),
    /// What the caller finds.
    Custom(CustomKey),
}

/// A key that the caller finds by itself: several fields together, a part of an address.
///
/// ```
/// use std::net::IpAddr;
/// use switchover::upstream::{Balance, CustomKey, Key};
///
/// // Clients of the same /24 are one.
/// let key = CustomKey::new(|request| match request.hop().client()? {
///     IpAddr::V4(address) => Some(address.octets()[..3].to_vec()),
///     IpAddr::V6(address) => Some(address.octets().to_vec()),
/// });
/// let balance = Balance::Hash(Key::Custom(key));
/// ```
#[derive(Clone)]
pub struct CustomKey(Arc<Find>);

type Find = dyn Fn(&ConnectRequest<'_>) -> Option<Vec<u8>> + Send + Sync;

impl CustomKey {
    /// `find` says what the key of a request is, if it has one. It is called with each request, in its task.
    pub fn new(find: impl Fn(&ConnectRequest<'_>) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        CustomKey(Arc::new(find))
    }
}

impl fmt::Debug for CustomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomKey").finish_non_exhaustive()
    }
}

/// Clones are the same.
impl PartialEq for CustomKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CustomKey {}

impl std::str::FromStr for Key {
    type Err = BalanceError;

    /// `client`, `header:NAME`, `cookie:NAME` or `query:NAME`.
    fn from_str(text: &str) -> Result<Self, BalanceError> {
        if text == "client" {
            return Ok(Key::Client);
        }
        let (kind, name) = text.split_once(':').ok_or(BalanceError)?;
        match kind {
            _ if name.is_empty() => Err(BalanceError),
            "header" => name.parse().map(Key::Header).map_err(|_| BalanceError),
            "cookie" => Ok(Key::Cookie(name.to_owned())),
            "query" => Ok(Key::Query(name.to_owned())),
            _ => Err(BalanceError),
        }
    }
}

impl Key {
    /// The key of a request as a number, if the request has one.
    pub(super) fn of(&self, request: &ConnectRequest<'_>) -> Option<u64> {
        let head = request.head();
        let value = match self {
            Key::Client => return request.hop().client().map(address_hash),
            Key::Header(name) => head.headers.get(name)?.as_bytes(),
            Key::Cookie(name) => cookie(&head.headers, name.as_bytes())?,
            Key::Query(name) => argument(head.uri.query()?, name)?,
            Key::Custom(CustomKey(find)) => {
                return find(request).filter(|key| !key.is_empty()).map(|key| hash(&key));
            }
        };
        Some(value).filter(|value| !value.is_empty()).map(hash)
    }
}

fn address_hash(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => hash(&address.octets()),
        IpAddr::V6(address) => hash(&address.octets()[..8]),
    }
}

/// RFC 6265, section 4.2.1: pairs separated by a semicolon and a space, of which clients may forget the space.
fn cookie<'a>(headers: &'a HeaderMap, name: &[u8]) -> Option<&'a [u8]> {
    let lines = headers.get_all(COOKIE).iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let pair = pair.trim_ascii();
        pair.strip_prefix(name)?.strip_prefix(b"=")
    })
}

fn argument<'a>(query: &'a str, name: &str) -> Option<&'a [u8]> {
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.map(str::as_bytes)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::*;
    use crate::header::Hop;

    fn head(target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_the_key_is() {
        let fields = [
            ("x-room", "12"),
            ("x-room", "13"),
            ("x-empty", ""),
            ("cookie", "a=1; session=abc=; asession=no"),
            ("cookie", "b=2;c=3"),
        ];
        let head = head("/chat?room=7&session=%20&aroom=1&room=8&empty=&flag", &fields);
        let cases: &[(&str, Option<&str>)] = &[
            ("header:x-room", Some("12")),
            ("header:X-Room", Some("12")),
            ("header:x-empty", None),
            ("header:x-none", None),
            ("cookie:session", Some("abc=")),
            ("cookie:a", Some("1")),
            ("cookie:c", Some("3")),
            ("cookie:A", None),
            ("cookie:ession", None),
            ("query:room", Some("7")),
            ("query:session", Some("%20")),
            ("query:oom", None),
            ("query:empty", None),
            ("query:flag", None),
        ];
        for (key, expected) in cases {
            let request = ConnectRequest::new(&head, Hop::unknown());
            let found = key.parse::<Key>().unwrap().of(&request);
            assert_eq!(found, expected.map(|value| hash(value.as_bytes())), "{key}");
        }
    }

    #[test]
    fn a_key_of_the_callers_own() {
        let find = |request: &ConnectRequest<'_>| Some(request.head().uri.path().as_bytes()[1..].to_vec());
        let key = Key::Custom(CustomKey::new(find));
        for (target, expected) in [("/room?x", Some("room")), ("/", None)] {
            let head = head(target, &[]);
            let found = key.of(&ConnectRequest::new(&head, Hop::unknown()));
            assert_eq!(found, expected.map(|key| hash(key.as_bytes())), "{target}");
        }
        assert_eq!(key, key.clone());
        assert_ne!(key, Key::Custom(CustomKey::new(find)));
    }

    #[test]
    fn who_is_the_same_client() {
        let head = head("/", &[]);
        let of = |address: &str| {
            let hop = Hop::from(address.parse::<IpAddr>().unwrap());
            Key::Client.of(&ConnectRequest::new(&head, hop)).unwrap()
        };
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(of(one) == of(other), same, "{one} and {other}");
        }
        let unknown = ConnectRequest::new(&head, Hop::unknown());
        assert_eq!(Key::Client.of(&unknown), None);
    }

    #[test]
    fn texts_that_are_no_key() {
        for text in [
            "",
            "client:",
            "header:",
            "header:a b",
            "cookie",
            "cookie:",
            "path",
            "ip",
        ] {
            assert_eq!(text.parse::<Key>(), Err(BalanceError), "{text}");
        }
    }
}
