//! Which requests are answered: those of programs and of the page itself, by a name of this host, with the token if there is one.
//! A page of another site in the operator's browser is not, whatever it sends.
//!
//! Knows a request's head. It must not know what is asked for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{Method, StatusCode, request};

use crate::flags::Flags;

/// What a request that changes something has to carry where there is no token. A form cannot set it, and a script of another site
/// may not without CORS, which is never granted here.
const MARK: &str = "x-switchover-admin";

/// The shortest token, and the longest.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=1024;

pub(super) struct Guard {
    token: Option<Vec<u8>>,
    /// Where it listens.
    address: IpAddr,
    /// Further names and addresses of this host.
    names: Vec<String>,
}

/// With which status a request is refused, and why.
pub(super) type Refusal = (StatusCode, String);

impl Guard {
    pub(super) fn new(address: SocketAddr, flags: &Flags) -> io::Result<Guard> {
        let token = flags.admin_token_file.as_deref().map(read_token).transpose()?;
        Ok(Guard {
            token,
            address: address.ip().to_canonical(),
            names: flags.admin_hosts.clone(),
        })
    }

    /// Whether the request may be answered. `is_page`: it asks for the page without anything in it, which any site may link to
    /// and which needs no token.
    pub(super) fn check(&self, head: &request::Parts, is_page: bool) -> Result<(), Refusal> {
        let host = self.host(head)?;
        let field = |name: &str| head.headers.get(name).map(|value| value.as_bytes());
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        if reads && is_page {
            return Ok(());
        }
        let forbidden = |why: &str| Err((StatusCode::FORBIDDEN, why.to_owned()));
        if !matches!(field("sec-fetch-site"), None | Some(b"same-origin" | b"none")) {
            return forbidden("a page of another site has sent this (Sec-Fetch-Site)");
        }
        if let Some(origin) = field(ORIGIN.as_str()) {
            let authority = origin
                .strip_prefix(b"http://")
                .or(origin.strip_prefix(b"https://"));
            if authority != Some(host.as_bytes()) {
                return forbidden("a page of another origin has sent this (Origin)");
            }
        }
        match &self.token {
            Some(token) if !field(AUTHORIZATION.as_str()).is_some_and(|value| is_token(value, token)) => {
                Err((
                    StatusCode::UNAUTHORIZED,
                    "the token is missing or wrong: send it as Authorization: Bearer TOKEN".to_owned(),
                ))
            }
            None if !reads && field(MARK).is_none() => {
                forbidden("a request that changes something needs the field X-Switchover-Admin: 1")
            }
            _ => Ok(()),
        }
    }

    /// The host that the request is for, which has to be a name of this one: to a browser, a name that an attacker's DNS gives this
    /// address (rebinding) is a site of the attacker's.
    fn host<'a>(&self, head: &'a request::Parts) -> Result<&'a str, Refusal> {
        let mut lines = head.headers.get_all(HOST).iter();
        let host = match (lines.next(), lines.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default(),
            _ => return Err((StatusCode::BAD_REQUEST, "one Host field is needed".to_owned())),
        };
        let in_target = head.uri.authority().map(Authority::as_str);
        let authority = host.parse::<Authority>().ok();
        let name = authority.as_ref().map_or("", Authority::host);
        if in_target.is_some_and(|target| target != host) || !self.is_name(name) {
            let why = format!(
                "{host:?} is no name of this listener: use its address or localhost, or allow the name with --admin-host"
            );
            return Err((StatusCode::MISDIRECTED_REQUEST, why));
        }
        Ok(host)
    }

    fn is_name(&self, name: &str) -> bool {
        if let Some(address) = ip(name) {
            // An address cannot be rebound. On all addresses, any of them may be meant.
            return address.is_loopback()
                || address == self.address
                || self.address.is_unspecified()
                || self.names.iter().any(|own| ip(own) == Some(address));
        }
        name.eq_ignore_ascii_case("localhost") || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// An address in the way that addresses are compared here: as text one has many forms.
fn ip(name: &str) -> Option<IpAddr> {
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
    Some(address.to_canonical())
}

fn read_token(file: &Path) -> io::Result<Vec<u8>> {
    let named = |why: &str| io::Error::other(format!("--admin-token-file {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| named(&error.to_string()))?;
    let token = text.lines().next().unwrap_or_default().trim();
    if !LENGTHS.contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(named(
            "its first line has to be 16 to 1024 printable ASCII characters",
        ));
    }
    Ok(token.as_bytes().to_vec())
}

/// Compares in a time that depends on the lengths alone.
fn is_token(value: &[u8], token: &[u8]) -> bool {
    const SCHEME: &[u8] = b"Bearer ";
    // RFC 9110, section 11.1: the name of a scheme is compared without case.
    let Some((scheme, sent)) = value.split_at_checked(SCHEME.len()) else {
        return false;
    };
    let differs = sent
        .iter()
        .zip(token)
        .fold(0, |differs, (a, b)| differs | (a ^ b));
    scheme.eq_ignore_ascii_case(SCHEME) && sent.len() == token.len() && std::hint::black_box(differs) == 0
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn guard(address: &str, token: Option<&str>) -> Guard {
        Guard {
            token: token.map(|token| token.as_bytes().to_vec()),
            address: address.parse().unwrap(),
            names: ["admin.example", "192.0.2.9", "[2001:db8::9]"]
                .map(str::to_owned)
                .into(),
        }
    }

    fn status(guard: &Guard, method: &str, path: &str, fields: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let is_page = path == "/";
        guard
            .check(&head, is_page)
            .map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    const HERE: (&str, &str) = ("host", "127.0.0.1:9000");
    const MARKED: (&str, &str) = (MARK, "1");

    #[test]
    fn hosts() {
        for (address, host, expected) in [
            ("127.0.0.1", "127.0.0.1:9000", 200),
            ("127.0.0.1", "127.0.0.2", 200),
            ("127.0.0.1", "localhost:9000", 200),
            ("127.0.0.1", "LOCALHOST", 200),
            ("127.0.0.1", "[::1]:9000", 200),
            ("127.0.0.1", "admin.example:9000", 200),
            ("127.0.0.1", "attacker.example:9000", 421),
            ("127.0.0.1", "localhost.attacker.example", 421),
            ("127.0.0.1", "192.0.2.1", 421),
            ("127.0.0.1", "", 421),
            ("127.0.0.1", "192.0.2.9:9000", 200),
            ("127.0.0.1", "[::ffff:192.0.2.9]", 200),
            ("127.0.0.1", "[2001:db8:0:0::9]:9000", 200),
            ("127.0.0.1", "[2001:db8::8]", 421),
            ("192.0.2.1", "192.0.2.1", 200),
            ("192.0.2.1", "192.0.2.2", 421),
            ("0.0.0.0", "192.0.2.2", 200),
            ("0.0.0.0", "attacker.example", 421),
        ] {
            for path in ["/", "/tunnels"] {
                let status = status(&guard(address, None), "GET", path, &[("host", host)]);
                assert_eq!(status, expected, "{address} {host} {path}");
            }
        }
        let guard = guard("127.0.0.1", None);
        assert_eq!(status(&guard, "GET", "/tunnels", &[]), 400);
        assert_eq!(status(&guard, "GET", "/tunnels", &[HERE, HERE]), 400);
        assert_eq!(
            status(&guard, "GET", "http://attacker.example/tunnels", &[HERE]),
            421
        );
    }

    #[test]
    fn without_a_token() {
        let guard = guard("127.0.0.1", None);
        type Fields<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(&str, Fields<'_>, u16)] = &[
            ("GET", &[HERE], 200),
            ("POST", &[HERE, MARKED], 200),
            ("POST", &[HERE], 403),
            ("POST", &[HERE, MARKED, ("origin", "http://127.0.0.1:9000")], 200),
            (
                "POST",
                &[HERE, MARKED, ("origin", "http://attacker.example")],
                403,
            ),
            ("POST", &[HERE, MARKED, ("origin", "http://127.0.0.1:9001")], 403),
            ("POST", &[HERE, MARKED, ("origin", "null")], 403),
            ("POST", &[HERE, MARKED, ("sec-fetch-site", "same-origin")], 200),
            ("POST", &[HERE, MARKED, ("sec-fetch-site", "cross-site")], 403),
            ("POST", &[HERE, MARKED, ("sec-fetch-site", "same-site")], 403),
            ("GET", &[HERE, ("sec-fetch-site", "cross-site")], 403),
            ("GET", &[HERE, ("sec-fetch-site", "none")], 200),
        ];
        for (method, fields, expected) in cases {
            assert_eq!(
                status(&guard, method, "/tunnels", fields),
                *expected,
                "{method} {fields:?}"
            );
        }
        // A link to the page.
        assert_eq!(
            status(&guard, "GET", "/", &[HERE, ("sec-fetch-site", "cross-site")]),
            200
        );
        assert_eq!(
            status(&guard, "POST", "/", &[HERE, ("sec-fetch-site", "cross-site")]),
            403
        );
    }

    #[test]
    fn with_a_token() {
        let guard = guard("127.0.0.1", Some("0123456789abcdef"));
        assert_eq!(status(&guard, "GET", "/", &[HERE]), 200);
        for (token, expected) in [
            ("Bearer 0123456789abcdef", 200),
            ("Bearer 0123456789abcdeX", 401),
            ("Bearer 0123456789abcde", 401),
            ("Bearer 0123456789abcdef0", 401),
            ("bearer 0123456789abcdef", 200),
            ("Basic 0123456789abcdef", 401),
            ("0123456789abcdef", 401),
            ("", 401),
            ("Bearer ", 401),
        ] {
            let fields = [HERE, ("authorization", token)];
            for (method, path) in [
                ("GET", "/metrics"),
                ("GET", "/tunnels"),
                ("POST", "/drain"),
                ("POST", "/"),
            ] {
                assert_eq!(status(&guard, method, path, &fields), expected, "{token}");
            }
            let foreign = [
                HERE,
                ("authorization", token),
                ("origin", "http://attacker.example"),
            ];
            assert_eq!(status(&guard, "POST", "/drain", &foreign), 403);
        }
        assert_eq!(status(&guard, "GET", "/metrics", &[HERE]), 401);
        assert_eq!(status(&guard, "POST", "/drain", &[HERE, MARKED]), 401);
    }
}
