//! The value of each variable, as in nginx.

use std::borrow::Cow;

use http::header::{COOKIE, HOST, HeaderMap, HeaderName};
use http::{Method, Uri, request};

use crate::header::Hop;
use crate::header::forwarded::X_FORWARDED_FOR;
use crate::http1::RequestHead;
use crate::http1::host_name;

/// The request that a rule is applied for: as the client has sent it, before anything is removed or added.
///
/// ```
/// use switchover::header::Hop;
/// use switchover::header::rules::{Template, Variables};
///
/// let (parts, ()) = http::Request::get("/chat?token=7").header("host", "Example.com:80").body(()).unwrap().into_parts();
/// let hop = Hop::from("192.0.2.1".parse::<std::net::IpAddr>().unwrap());
/// let template: Template = "$remote_addr wants $scheme://$host$request_uri".parse()?;
/// let value = template.value(&Variables::new(&parts, &hop)).unwrap();
/// assert_eq!(value, "192.0.2.1 wants http://example.com/chat?token=7");
/// # Ok::<(), switchover::header::rules::TemplateError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Variables<'a> {
    method: &'a Method,
    target: &'a Uri,
    headers: Headers<'a>,
    hop: &'a Hop,
    server_name: &'a str,
    upstream: &'a str,
}

impl<'a> Variables<'a> {
    /// The variables of a request that came over a hop.
    pub fn new(parts: &'a request::Parts, hop: &'a Hop) -> Self {
        Variables {
            method: &parts.method,
            target: &parts.uri,
            headers: Headers::Map(&parts.headers),
            hop,
            server_name: "",
            upstream: "",
        }
    }

    /// As [`new`](Variables::new), of a head whose map of fields is made if a rule asks for one of them.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code))]
    pub(crate) fn of_head(head: &'a RequestHead, hop: &'a Hop) -> Self {
        Variables {
            method: head.method(),
            target: head.uri(),
            headers: Headers::Of(head),
            hop,
            server_name: "",
            upstream: "",
        }
    }

    fn headers(&self) -> &'a HeaderMap {
        match self.headers {
            Headers::Map(headers) => headers,
            Headers::Of(head) => &head.parts().headers,
        }
    }

    /// What `$server_name` stands for, and `$host` in a request without `Host`. Default: nothing.
    #[must_use]
    pub fn server_name(mut self, name: &'a str) -> Self {
        self.server_name = name;
        self
    }

    /// What `$proxy_host` stands for: the host of the upstream, with its port unless that is the scheme's own. Default:
    /// nothing.
    #[must_use]
    pub fn upstream(mut self, authority: &'a str) -> Self {
        self.upstream = authority;
        self
    }

    /// With these names where there are none.
    pub(super) fn or(&self, server_name: &'a str, upstream: &'a str) -> Variables<'a> {
        let first = |one: &'a str, other: &'a str| if one.is_empty() { other } else { one };
        Variables {
            server_name: first(self.server_name, server_name),
            upstream: first(self.upstream, upstream),
            ..*self
        }
    }

    pub(super) fn upstream_host(&self) -> &'a str {
        self.upstream
    }

    fn query(&self) -> &'a str {
        self.target.query().unwrap_or_default()
    }

    /// The host as it was sent: the target's, else the field's.
    fn sent_host(&self) -> Option<&'a str> {
        let in_target = self.target.authority().map(|authority| authority.as_str());
        in_target.or_else(|| self.headers().get(HOST)?.to_str().ok())
    }
}

/// The fields of the request.
#[derive(Clone, Copy, Debug)]
enum Headers<'a> {
    Map(&'a HeaderMap),
    #[cfg_attr(not(feature = "gateway"), allow(dead_code))]
    Of(&'a RequestHead),
}

/// One variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Args,
    Host,
    IsArgs,
    ProxyAddXForwardedFor,
    ProxyHost,
    RealipRemoteAddr,
    RemoteAddr,
    RemotePort,
    RequestMethod,
    RequestUri,
    Scheme,
    ServerName,
    ServerPort,
    Argument(String),
    Cookie(String),
    Field(HeaderName),
}

/// All names, for those who have mistyped one.
pub(super) const KNOWN: &str = "$args, $arg_NAME, $cookie_NAME, $host, $http_NAME, $is_args, \
    $proxy_add_x_forwarded_for, $proxy_host, $query_string, $realip_remote_addr, $remote_addr, $remote_port, \
    $request_method, $request_uri, $scheme, $server_name, $server_port";

impl Variable {
    /// The variable with a name, which has no case.
    pub(super) fn named(name: &str) -> Option<Variable> {
        let name = name.to_ascii_lowercase();
        Some(match &name[..] {
            "args" | "query_string" => Variable::Args,
            "host" => Variable::Host,
            "is_args" => Variable::IsArgs,
            "proxy_add_x_forwarded_for" => Variable::ProxyAddXForwardedFor,
            "proxy_host" => Variable::ProxyHost,
            "realip_remote_addr" => Variable::RealipRemoteAddr,
            "remote_addr" => Variable::RemoteAddr,
            "remote_port" => Variable::RemotePort,
            "request_method" => Variable::RequestMethod,
            "request_uri" => Variable::RequestUri,
            "scheme" => Variable::Scheme,
            "server_name" => Variable::ServerName,
            "server_port" => Variable::ServerPort,
            other => return Variable::with_prefix(other),
        })
    }

    fn with_prefix(name: &str) -> Option<Variable> {
        let (kind, rest) = name.split_once('_').filter(|(_, rest)| !rest.is_empty())?;
        match kind {
            "arg" => Some(Variable::Argument(rest.to_owned())),
            "cookie" => Some(Variable::Cookie(rest.to_owned())),
            "http" => Some(Variable::Field(rest.replace('_', "-").parse().ok()?)),
            _ => None,
        }
    }

    /// Appends what the variable stands for; nothing where it stands for nothing.
    pub(super) fn write(&self, variables: &Variables<'_>, out: &mut Vec<u8>) {
        let hop = variables.hop;
        let number = |port: Option<u16>| port.map(|port| port.to_string());
        let address = |address: Option<std::net::IpAddr>| address.map(|address| address.to_string());
        let text: Cow<'_, str> = match self {
            Variable::Args => variables.query().into(),
            Variable::IsArgs if variables.query().is_empty() => "".into(),
            Variable::IsArgs => "?".into(),
            Variable::Host => match variables.sent_host() {
                Some(host) => host_name(host),
                None => variables.server_name.into(),
            },
            Variable::ProxyHost => variables.upstream.into(),
            Variable::RemoteAddr => address(hop.client()).unwrap_or_default().into(),
            Variable::RealipRemoteAddr => address(hop.peer()).unwrap_or_default().into(),
            Variable::RemotePort => number(hop.client_port()).unwrap_or_default().into(),
            Variable::ServerPort => number(hop.server_port()).unwrap_or_default().into(),
            Variable::RequestMethod => variables.method.as_str().into(),
            Variable::RequestUri => {
                let target = variables.target.path_and_query();
                target.map_or("", |target| target.as_str()).into()
            }
            Variable::Scheme => hop.scheme().into(),
            Variable::ServerName => variables.server_name.into(),
            Variable::Argument(name) => argument(variables.query(), name).into(),
            Variable::Cookie(name) => return write_cookie(variables.headers(), name, out),
            Variable::Field(name) if *name == COOKIE => return join(variables.headers(), name, b"; ", out),
            Variable::Field(name) => return join(variables.headers(), name, b", ", out),
            Variable::ProxyAddXForwardedFor => {
                let before = out.len();
                join(variables.headers(), &X_FORWARDED_FOR, b", ", out);
                if out.len() > before && hop.client().is_some() {
                    out.extend_from_slice(b", ");
                }
                address(hop.client()).unwrap_or_default().into()
            }
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// All lines of a field as one.
fn join(headers: &HeaderMap, name: &HeaderName, separator: &[u8], out: &mut Vec<u8>) {
    let mut lines = headers.get_all(name).iter().filter(|line| !line.is_empty());
    if let Some(first) = lines.next() {
        out.extend_from_slice(first.as_bytes());
    }
    for line in lines {
        out.extend_from_slice(separator);
        out.extend_from_slice(line.as_bytes());
    }
}

/// The first argument of a name, in any case, as it stands in the query.
fn argument<'a>(query: &'a str, name: &str) -> &'a str {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value)
}

/// The first cookie of a name, in any case.
fn write_cookie(headers: &HeaderMap, name: &str, out: &mut Vec<u8>) {
    let lines = headers.get_all(COOKIE).iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
    let value = pairs.find_map(|pair| {
        let pair = pair.trim_ascii_start();
        let (other, value) = pair.split_at_checked(name.len())?;
        let value = value.trim_ascii_start().strip_prefix(b"=")?;
        other
            .eq_ignore_ascii_case(name.as_bytes())
            .then_some(value.trim_ascii_start())
    });
    out.extend_from_slice(value.unwrap_or_default());
}
