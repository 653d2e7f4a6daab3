//! A request that another parser has taken in meets the same checks as one of our own.
//!
//! Servers are laxer than a proxy may be: they are the last to read a request, and a proxy is not.

use http::header::{HOST, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};

use super::host::{check_replaced_host, is_same_host};
use super::lists::check_request_lists;
use super::singleton::check_request_singletons;
use super::target::check_path;
use super::{BodyLength, HeadError, HeadLimits, HostError, TargetError, check_host, validate_host};
use crate::token;

/// Checks a request head that hyper, or any other server, has parsed, and gives it the form of
/// [`parse_request`](super::parse_request)'s: one valid `Host` in agreement with the target, a target in a form that
/// goes with the method, one framing.
///
/// In HTTP/2 and HTTP/3, `:authority` becomes `Host` (RFC 9113, section 8.3.1), no value has white space at an end (section
/// 8.2.1), and a `Content-Length` is there once, although it frames nothing yet. Fields that must not be repeated are there
/// once. The head is within the [default limits](HeadLimits::default); [`check_request_within`] takes others.
///
/// A layer in front that replaces the URI of an HTTP/2 request has to
/// keep its scheme and authority there, or to set `Host` before it does: with neither the request is for nobody, and is refused
/// ([`HostError::NoAuthority`]).
///
/// ```
/// use http::uri::PathAndQuery;
/// use http::{Request, Uri};
///
/// fn replace_path<B>(request: &mut Request<B>, path: PathAndQuery) -> Result<(), http::Error> {
///     let mut uri = request.uri().clone().into_parts();
///     uri.path_and_query = Some(path);
///     *request.uri_mut() = Uri::from_parts(uri)?;
///     Ok(())
/// }
/// # let mut request = Request::get("https://a.example/b").body(()).unwrap();
/// # replace_path(&mut request, PathAndQuery::from_static("/other")).unwrap();
/// # assert_eq!(request.uri(), "https://a.example/other");
/// ```
///
/// ```
/// use switchover::http1::check_request;
///
/// let (mut parts, ()) = http::Request::get("http://example.com/chat").header("host", "other").body(()).unwrap().into_parts();
/// check_request(&mut parts).unwrap();
/// assert_eq!(parts.headers["host"], "example.com", "the target's authority wins");
/// ```
///
/// # Errors
///
/// The rule that is broken; [`HeadError::status`] is the answer.
pub fn check_request(parts: &mut Parts) -> Result<(), HeadError> {
    check_request_within(parts, &HeadLimits::default())
}

/// As [`check_request`], with limits of the caller's own. A server that has taken the head in has limits too, and what is
/// beyond those never comes here.
///
/// # Errors
///
/// As [`check_request`].
pub fn check_request_within(parts: &mut Parts, limits: &HeadLimits) -> Result<(), HeadError> {
    limits.check(parts)?;
    check_request_unlimited(parts)
}

/// As [`check_request`], for a head that is known to be within its limits.
pub(crate) fn check_request_unlimited(parts: &mut Parts) -> Result<(), HeadError> {
    check_request_singletons(&parts.headers)?;
    check_request_lists(&parts.headers)?;
    normalize_empty_path(parts)?;
    check_target(parts)?;
    if parts.version >= Version::HTTP_2 {
        check_fields(&parts.headers)?;
        check_authority(parts)?;
        // HTTP/2 frames the body by itself, but what goes on as HTTP/1.1 is framed by this.
        BodyLength::of_request(parts)?;
        return Ok(());
    }
    let replacing = parts.uri.authority().filter(|_| parts.method != Method::CONNECT);
    match replacing {
        Some(authority) => {
            check_replaced_host(parts.version, &parts.headers)?;
            // RFC 9112, section 3.2.2: a proxy ignores the Host received and replaces it by the target's.
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| TargetError::Authority)?;
            parts.headers.insert(HOST, host);
        }
        None => check_host(parts.version, &parts.headers)?,
    }
    BodyLength::of_request(parts)?;
    Ok(())
}

/// What HTTP/1.1 cannot carry of the fields of HTTP/2 and HTTP/3, or would carry as something else.
fn check_fields(headers: &HeaderMap) -> Result<(), HeadError> {
    // RFC 9113, section 8.2.1, leaves more than HTTP/1.1 takes in a name (RFC 9110, section 5.1).
    if !headers
        .keys()
        .all(|name| token::is_token(name.as_str().as_bytes()))
    {
        return Err(HeadError::FieldName);
    }
    // The same section: a value "MUST NOT start or end with an ASCII whitespace character".
    match headers.values().all(|value| token::is_trimmed(value.as_bytes())) {
        true => Ok(()),
        false => Err(HeadError::FieldValue),
    }
}

/// RFC 3986, section 6.2.3: an empty path is the path `/`, also in front of a query.
fn normalize_empty_path(parts: &mut Parts) -> Result<(), HeadError> {
    let Some(query) = parts.uri.path_and_query().map(PathAndQuery::as_str) else {
        return Ok(());
    };
    if !query.starts_with('?') {
        return Ok(());
    }
    let path_and_query = PathAndQuery::try_from(format!("/{query}")).map_err(|_| TargetError::InvalidByte)?;
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.path_and_query = Some(path_and_query);
    parts.uri = Uri::from_parts(uri).map_err(|_| TargetError::Form)?;
    Ok(())
}

fn check_target(parts: &Parts) -> Result<(), HeadError> {
    // RFC 9113, section 8.3.1: exactly one valid value, and RFC 3986, section 3.1, has none that is empty.
    if parts.uri.scheme_str() == Some("") {
        return Err(TargetError::Form.into());
    }
    if let Some(authority) = parts.uri.authority() {
        validate_host(authority.as_str().as_bytes()).map_err(|_| TargetError::Authority)?;
    }
    // The same section of ":path". `http` shows one that is absent as "/".
    if parts.method != Method::CONNECT && parts.uri.path().is_empty() {
        return Err(TargetError::Form.into());
    }
    match parts.uri.path_and_query().map(PathAndQuery::as_str) {
        Some(path) => Ok(check_path(&parts.method, path.as_bytes())?),
        // RFC 9112, section 3.2.3: the authority-form is for CONNECT alone.
        None if parts.method != Method::CONNECT => Err(TargetError::Form.into()),
        None => Ok(()),
    }
}

/// RFC 9113, section 8.3.1: a `Host` that names another authority than `:authority` is malformed, and a proxy that
/// turns the request into HTTP/1.1 makes `Host` of the authority. HTTP/2 has a framing of its own (section 8.1.1), which the
/// server has checked.
fn check_authority(parts: &mut Parts) -> Result<(), HeadError> {
    let Some(authority) = parts.uri.authority() else {
        return check_host(Version::HTTP_11, &parts.headers).map_err(|error| match error {
            HostError::Missing => HostError::NoAuthority.into(),
            error => error.into(),
        });
    };
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| TargetError::Authority)?;
    let mut named = parts.headers.get_all(HOST).iter();
    match (named.next(), named.next()) {
        (None, _) => {}
        (Some(_), Some(_)) => return Err(HostError::Repeated.into()),
        (Some(named), None) => {
            validate_host(named.as_bytes())?;
            if !is_same_host(named.as_bytes(), host.as_bytes(), parts.uri.scheme_str()) {
                return Err(HostError::Differs.into());
            }
        }
    }
    parts.headers.insert(HOST, host);
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::http1::FramingError;

    fn checked(request: http::request::Builder) -> Result<Option<String>, HeadError> {
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        check_request(&mut parts)?;
        let host = parts.headers.get(HOST);
        Ok(host.map(|host| host.to_str().unwrap().to_owned()))
    }

    #[test]
    fn of_http_1() {
        let get = |uri: &str| Request::get(uri).header(HOST, "example.com");
        assert_eq!(checked(get("/chat?x")), Ok(Some("example.com".into())));
        assert_eq!(checked(get("http://other:81/")), Ok(Some("other:81".into())));
        assert_eq!(
            checked(Request::options("*").header(HOST, "a")),
            Ok(Some("a".into()))
        );
        assert_eq!(checked(Request::get("/").version(Version::HTTP_10)), Ok(None));

        assert_eq!(checked(Request::get("/")), Err(HostError::Missing.into()));
        assert_eq!(
            checked(get("/").header(HOST, "b")),
            Err(HostError::Repeated.into())
        );
        assert_eq!(
            checked(Request::get("/").header(HOST, "a b")),
            Err(HostError::Invalid.into())
        );
        assert_eq!(
            checked(get("http://user@other/")),
            Err(TargetError::Authority.into())
        );
        assert_eq!(checked(get("*")), Err(TargetError::Method.into()));
        for authority in ["other", "other:80"] {
            assert_eq!(checked(get(authority)), Err(TargetError::Form.into()));
        }
        let twice = get("/").header("transfer-encoding", "chunked, chunked");
        assert!(matches!(checked(twice), Err(HeadError::Framing(_))));
        let both = get("/")
            .header("transfer-encoding", "chunked")
            .header("content-length", "5");
        assert!(matches!(checked(both), Err(HeadError::Framing(_))));
    }

    #[test]
    fn an_empty_path_before_a_query() {
        for (uri, path) in [("http://a?b", "/?b"), ("http://a", "/"), ("http://a/?b", "/?b")] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                let request = Request::get(uri).version(version).header(HOST, "a");
                let (mut parts, ()) = request.body(()).unwrap().into_parts();
                assert_eq!(check_request(&mut parts), Ok(()), "{uri} {version:?}");
                assert_eq!(
                    parts.uri.path_and_query().unwrap().as_str(),
                    path,
                    "{uri} {version:?}"
                );
            }
        }
    }

    #[test]
    fn of_http_2() {
        let get = |uri: &str| Request::get(uri).version(Version::HTTP_2);
        assert_eq!(checked(get("https://a:1/chat")), Ok(Some("a:1".into())));
        assert_eq!(checked(get("https://a/").header(HOST, "A")), Ok(Some("a".into())));
        assert_eq!(checked(get("/").header(HOST, "a")), Ok(Some("a".into())));
        assert_eq!(
            checked(get("https://a/").header(HOST, "a.")),
            Ok(Some("a".into()))
        );
        assert_eq!(
            checked(get("https://a.:1/").header(HOST, "A:1")),
            Ok(Some("a.:1".into()))
        );
        for empty_label in [".", "..", "a..", "a..b", ".a"] {
            let invalid = Err(HostError::Invalid.into());
            assert_eq!(checked(get("/").header(HOST, empty_label)), invalid);
            assert_eq!(checked(get("https://a/").header(HOST, empty_label)), invalid);
            let target = checked(get(&format!("https://{empty_label}/")));
            assert_eq!(target, Err(TargetError::Authority.into()), "{empty_label}");
        }

        for (name, value, error) in [
            ("content-length", "5", None),
            ("content-length", "", Some(FramingError::InvalidLength.into())),
            ("content-length", "+5", Some(FramingError::InvalidLength.into())),
            ("content-length", "5, 5", Some(FramingError::InvalidLength.into())),
            ("x-a", "b\tc", None),
            ("x-a", "", None),
            ("x-a", " b", Some(HeadError::FieldValue)),
            ("x-a", "b\t", Some(HeadError::FieldValue)),
        ] {
            let expected = error.map_or(Ok(Some("a".into())), Err);
            let request = get("https://a/").header(name, value);
            assert_eq!(checked(request), expected, "{name}: {value:?}");
        }
        for other in ["0", "5"] {
            let request = get("https://a/").header("content-length", "5");
            let twice = request.header("content-length", other);
            assert_eq!(
                checked(twice),
                Err(FramingError::RepeatedLength.into()),
                "{other}"
            );
        }

        for (uri, host, is_same) in [
            ("https://a/", "a:443", true),
            ("https://a:443/", "a", true),
            ("https://a/", "a:", true),
            ("https://a/", "a:80", false),
            ("http://a/", "a:80", true),
            ("http://a:80/", "A.:", true),
            ("http://a:8080/", "a:8080", true),
            ("http://a:8080/", "a", false),
        ] {
            let checked = checked(get(uri).header(HOST, host));
            assert_eq!(checked.is_ok(), is_same, "{uri} {host}: {checked:?}");
        }

        assert_eq!(checked(get("/")), Err(HostError::NoAuthority.into()));
        assert_eq!(
            checked(get("https://a/").header(HOST, "b")),
            Err(HostError::Differs.into())
        );
        let twice = get("https://a/").header(HOST, "a").header(HOST, "a");
        assert_eq!(checked(twice), Err(HostError::Repeated.into()));
        assert_eq!(
            checked(get("https://user@a/")),
            Err(TargetError::Authority.into())
        );
    }
}
