//! The four forms of a request target (RFC 9112, section 3.2), and which method may use which.

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Uri};

use super::validate_host;

/// A request target in one of its four forms.
///
/// ```
/// use http::Method;
/// use switchover::http1::RequestTarget;
///
/// let target = RequestTarget::parse(&Method::GET, b"http://example.com/chat").unwrap();
/// assert!(matches!(target, RequestTarget::Absolute { .. }));
/// assert!(RequestTarget::parse(&Method::GET, b"*").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 9112 has four forms")]
pub enum RequestTarget {
    /// `/path?query`.
    Origin(PathAndQuery),
    /// `http://host/path?query`: the authority wins over `Host` (RFC 9112, section 3.2.2).
    Absolute {
        /// `http`, `https`, `ws` or `wss`, in lower case. It chooses nothing: not the route, and not whether TLS is spoken.
        scheme: Scheme,
        /// Without user information.
        authority: Authority,
        /// Begins with `/` also where the path of the target is empty (RFC 3986, section 6.2.3); `*` in an OPTIONS with
        /// neither path nor query.
        path_and_query: PathAndQuery,
    },
    /// `host:port`, with CONNECT only.
    Authority(Authority),
    /// `*`, with OPTIONS only.
    Asterisk,
}

/// What is wrong with a request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Longer than a URI may be here: 65,534 bytes.
    #[error("longer than 65534 bytes")]
    TooLong,
    /// A space or a tab.
    #[error("it holds white space, which is to be sent percent-encoded, a space as %20")]
    WhiteSpace,
    /// A fragment, which stays with the client (RFC 9112, section 3.2).
    #[error("it holds a fragment (#), which is not to be sent")]
    Fragment,
    /// Any other byte that no URI holds.
    #[error("it holds a byte that is to be sent percent-encoded")]
    InvalidByte,
    /// None of the four forms.
    #[error("it is neither a path, nor an http, https, ws or wss URI, nor host:port, nor an asterisk")]
    Form,
    /// The authority is empty, has user information, or is not host and port.
    #[error("its authority is not a host with an optional port")]
    Authority,
    /// A form that the method may not use.
    #[error("its form does not go with the method")]
    Method,
}

impl TargetError {
    /// In a word, for logs and metrics: `target-too-long`, `target-white-space`, `target-fragment`, `target-invalid-byte`,
    /// `target-form`, `target-authority`, `target-method`. None of them changes in a minor version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TargetError::TooLong => "target-too-long",
            TargetError::WhiteSpace => "target-white-space",
            TargetError::Fragment => "target-fragment",
            TargetError::InvalidByte => "target-invalid-byte",
            TargetError::Form => "target-form",
            TargetError::Authority => "target-authority",
            TargetError::Method => "target-method",
        }
    }
}

impl RequestTarget {
    /// Parses the target of a request with the method given.
    ///
    /// # Errors
    ///
    /// The rule that is broken; the answer is 400, or 414 for [`TargetError::TooLong`].
    pub fn parse(method: &Method, target: &[u8]) -> Result<Self, TargetError> {
        Self::from_shared(method, Bytes::copy_from_slice(target))
    }

    pub(crate) fn from_shared(method: &Method, target: Bytes) -> Result<Self, TargetError> {
        check_bytes(&target)?;
        if *method == Method::CONNECT {
            return authority_form(target);
        }
        match &target[..] {
            b"*" if *method == Method::OPTIONS => Ok(RequestTarget::Asterisk),
            b"*" => Err(TargetError::Method),
            [b'/', ..] => PathAndQuery::from_maybe_shared(target)
                .map(RequestTarget::Origin)
                .map_err(|_| TargetError::InvalidByte),
            _ => absolute_form(method, target),
        }
    }

    /// The target as the URI that `http` request parts hold.
    pub fn into_uri(self) -> Uri {
        match self {
            RequestTarget::Origin(path_and_query) => Uri::from(path_and_query),
            RequestTarget::Authority(authority) => Uri::from(authority),
            RequestTarget::Asterisk => Uri::from_static("*"),
            RequestTarget::Absolute {
                scheme,
                authority,
                path_and_query,
            } => {
                let mut parts = http::uri::Parts::default();
                parts.scheme = Some(scheme);
                parts.authority = Some(authority);
                parts.path_and_query = Some(path_and_query);
                // All three parts are there, which is the only thing that this can complain of.
                Uri::from_parts(parts).unwrap_or_default()
            }
        }
    }
}

/// Checks what another parser has taken for the path and query of a target that is no authority, without parsing it again.
pub(super) fn check_path(method: &Method, path_and_query: &[u8]) -> Result<(), TargetError> {
    check_bytes(path_and_query)?;
    match path_and_query {
        b"*" if *method == Method::OPTIONS => Ok(()),
        b"*" => Err(TargetError::Method),
        [b'/', ..] => Ok(()),
        _ => Err(TargetError::Form),
    }
}

/// What is wrong with a byte of a target, whatever its form.
fn check_bytes(target: &[u8]) -> Result<(), TargetError> {
    if target.len() > usize::from(u16::MAX) - 1 {
        return Err(TargetError::TooLong);
    }
    // RFC 3986 has neither controls, spaces nor bytes beyond ASCII; RFC 9112 has no fragment in a target.
    let wrong = target
        .iter()
        .find(|byte| !byte.is_ascii_graphic() || **byte == b'#');
    match wrong {
        None => Ok(()),
        Some(b' ' | b'\t') => Err(TargetError::WhiteSpace),
        Some(b'#') => Err(TargetError::Fragment),
        Some(_) => Err(TargetError::InvalidByte),
    }
}

fn authority_form(target: Bytes) -> Result<RequestTarget, TargetError> {
    // RFC 9110, section 9.3.6: a CONNECT target has a port, always.
    validate_host(&target).map_err(|_| TargetError::Authority)?;
    let authority = Authority::from_maybe_shared(target).map_err(|_| TargetError::Authority)?;
    if authority.port().is_none() {
        return Err(TargetError::Authority);
    }
    Ok(RequestTarget::Authority(authority))
}

fn absolute_form(method: &Method, target: Bytes) -> Result<RequestTarget, TargetError> {
    let scheme_end = target.windows(3).position(|three| three == b"://");
    let scheme_end = scheme_end.ok_or(TargetError::Form)?;
    let scheme = ["http", "https", "ws", "wss"]
        .into_iter()
        .find(|scheme| target[..scheme_end].eq_ignore_ascii_case(scheme.as_bytes()))
        .ok_or(TargetError::Form)?;
    let rest = target.slice(scheme_end + 3..);
    let authority_end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
    let authority_end = authority_end.unwrap_or(rest.len());
    let authority = rest.slice(..authority_end);
    validate_host(&authority).map_err(|_| TargetError::Authority)?;
    Ok(RequestTarget::Absolute {
        scheme: Scheme::try_from(scheme).map_err(|_| TargetError::Form)?,
        authority: Authority::from_maybe_shared(authority).map_err(|_| TargetError::Authority)?,
        path_and_query: path_of_absolute_form(method, rest.slice(authority_end..))?,
    })
}

/// What follows the authority of an absolute-form target, as it goes upstream.
fn path_of_absolute_form(method: &Method, path_and_query: Bytes) -> Result<PathAndQuery, TargetError> {
    match &path_and_query[..] {
        // RFC 9112, section 3.2.4: the last proxy sends an OPTIONS for a URI without path and query as an asterisk.
        [] if *method == Method::OPTIONS => Ok(PathAndQuery::from_static("*")),
        [] => Ok(PathAndQuery::from_static("/")),
        // RFC 3986, section 6.2.3: an empty path is the path `/`.
        [b'?', ..] => PathAndQuery::from_maybe_shared(Bytes::from([b"/", &path_and_query[..]].concat()))
            .map_err(|_| TargetError::InvalidByte),
        _ => PathAndQuery::from_maybe_shared(path_and_query).map_err(|_| TargetError::InvalidByte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms_by_rfc_9112_section_3_2() {
        let cases: &[(&Method, &str, Result<&str, TargetError>)] = &[
            (&Method::GET, "/", Ok("/")),
            (
                &Method::GET,
                "/a//b/../c?d=%zz&e=%2F",
                Ok("/a//b/../c?d=%zz&e=%2F"),
            ),
            (&Method::GET, "//host/path", Ok("//host/path")),
            (&Method::GET, "/?", Ok("/?")),
            (&Method::GET, "/a#b", Err(TargetError::Fragment)),
            (&Method::GET, "/\u{e9}", Err(TargetError::InvalidByte)),
            (&Method::GET, "/a b", Err(TargetError::WhiteSpace)),
            (&Method::GET, "", Err(TargetError::Form)),
            (&Method::GET, "a", Err(TargetError::Form)),
            (&Method::GET, "a:80", Err(TargetError::Form)),
            (&Method::GET, "*", Err(TargetError::Method)),
            (&Method::OPTIONS, "*", Ok("*")),
            (&Method::GET, "http://a", Ok("http://a/")),
            (&Method::GET, "http://a?q", Ok("http://a/?q")),
            (&Method::GET, "http://a/", Ok("http://a/")),
            (&Method::GET, "HTTP://a/b", Ok("http://a/b")),
            (&Method::GET, "wss://[::1]:9/b?c", Ok("wss://[::1]:9/b?c")),
            (&Method::GET, "ftp://a/b", Err(TargetError::Form)),
            (&Method::GET, "http:///b", Err(TargetError::Authority)),
            (&Method::GET, "http://user@a/b", Err(TargetError::Authority)),
            (&Method::CONNECT, "a:443", Ok("a:443")),
            (&Method::CONNECT, "a", Err(TargetError::Authority)),
            (&Method::CONNECT, "/", Err(TargetError::Authority)),
        ];
        for (method, target, expected) in cases {
            let parsed =
                RequestTarget::parse(method, target.as_bytes()).map(|target| target.into_uri().to_string());
            assert_eq!(
                parsed.as_deref(),
                expected.as_ref().copied(),
                "{method} {target:?}"
            );
        }
    }

    #[test]
    fn options_for_a_uri_without_a_path_is_an_asterisk() {
        let target = RequestTarget::parse(&Method::OPTIONS, b"http://a").unwrap();
        let RequestTarget::Absolute { path_and_query, .. } = target else {
            panic!("{target:?}")
        };
        assert_eq!(path_and_query, "*");
    }
}
