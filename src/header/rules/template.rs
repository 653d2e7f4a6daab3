//! How a value with variables is written: `$name`, `${name}`, and `$$` for a dollar sign.

use std::str::FromStr;

use bytes::Bytes;
use http::header::HeaderValue;

use super::variables::{self, Variable, Variables};
use crate::token;

/// A field value with variables: `https://$host$request_uri`, `${remote_addr}x`, `costs 5 $$`.
///
/// The variables are those of [`HeaderRules`](super::HeaderRules). A dollar sign of its own is written twice; nginx has
/// no way to write one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Without variables.
    Constant(HeaderValue),
    Parts(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

/// A text that is not a value with variables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A variable that there is none of.
    #[error("there is no variable ${0}; there are {known}", known = variables::KNOWN)]
    UnknownVariable(String),
    /// A dollar sign with no name behind it.
    #[error("a dollar sign stands before the name of a variable; one of its own is written $$")]
    NoName,
    /// `${` without `}`.
    #[error("the brace after a dollar sign is never closed")]
    OpenBrace,
    /// A byte that no field value holds: a line break, a NUL, another control byte.
    #[error("a field value holds no line breaks and no other control bytes")]
    InvalidByte,
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let constant = |text: &str| HeaderValue::from_str(text).map_err(|_| TemplateError::InvalidByte);
        constant(text)?;
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let (name, after) = name(after)?;
            let variable =
                Variable::named(name).ok_or_else(|| TemplateError::UnknownVariable(name.to_owned()))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Variable(variable));
            rest = after;
        }
        literal.push_str(rest);
        if parts.is_empty() {
            return Ok(Template(Form::Constant(constant(
                literal.trim_matches([' ', '\t']),
            )?)));
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Template(Form::Parts(parts)))
    }
}

/// The name that follows a dollar sign, and what follows the name.
fn name(after: &str) -> Result<(&str, &str), TemplateError> {
    let (name, rest) = match after.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or(TemplateError::OpenBrace)?,
        None => {
            let end = after.find(|other: char| !other.is_ascii_alphanumeric() && other != '_');
            after.split_at(end.unwrap_or(after.len()))
        }
    };
    match name {
        "" => Err(TemplateError::NoName),
        name => Ok((name, rest)),
    }
}

impl Template {
    /// The value for a request, without white space at its ends. None where it comes out empty, or as what no field
    /// may hold.
    pub fn value(&self, variables: &Variables<'_>) -> Option<HeaderValue> {
        match &self.0 {
            Form::Constant(value) => Some(value.clone()).filter(|value| !value.is_empty()),
            Form::Parts(parts) => {
                let mut bytes = Vec::with_capacity(64);
                for part in parts {
                    match part {
                        Part::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                        Part::Variable(variable) => variable.write(variables, &mut bytes),
                    }
                }
                let value = token::trim_ows(&bytes);
                match value.len() {
                    0 => None,
                    all if all == bytes.len() => HeaderValue::from_maybe_shared(Bytes::from(bytes)).ok(),
                    _ => HeaderValue::from_bytes(value).ok(),
                }
            }
        }
    }

    /// The value, if it is the same for all requests.
    pub fn constant(&self) -> Option<&HeaderValue> {
        match &self.0 {
            Form::Constant(value) => Some(value),
            Form::Parts(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Hop;

    fn parts(lines: &[(&str, &str)]) -> http::request::Parts {
        let mut request = http::Request::get("/a%20b?x=1&Token=t%20t&token=u&=v&flag");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_each_variable_stands_for() {
        let parts = parts(&[
            ("host", "Example.COM.:81"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2, 3.3.3.3"),
            ("cookie", "a=1; session = s ; b="),
            ("cookie", "Session=second; c=3"),
            ("x-one", "1"),
            ("x-one", ""),
            ("x-one", "2"),
        ]);
        let peer: std::net::SocketAddr = "[2001:db8::1]:4711".parse().unwrap();
        let hop = Hop::from(peer).tls(true).at_port(443);
        let variables = Variables::new(&parts, &hop)
            .server_name("server.example")
            .upstream("backend:9000");
        let cases = [
            ("plain", Some("plain")),
            ("  spaced  out ", Some("spaced  out")),
            ("$$", Some("$")),
            ("$$host costs 5$$", Some("$host costs 5$")),
            ("$args", Some("x=1&Token=t%20t&token=u&=v&flag")),
            ("$query_string", Some("x=1&Token=t%20t&token=u&=v&flag")),
            ("$is_args", Some("?")),
            ("$arg_x", Some("1")),
            ("$arg_token", Some("t%20t")),
            ("Bearer $arg_token", Some("Bearer t%20t")),
            ("$arg_flag$arg_none", None),
            ("$cookie_session", Some("s")),
            ("$cookie_c", Some("3")),
            ("$cookie_b", None),
            ("$cookie_none", None),
            ("$host", Some("example.com")),
            ("$http_host", Some("Example.COM.:81")),
            ("$HTTP_Host", Some("Example.COM.:81")),
            ("$http_x_one", Some("1, 2")),
            ("$http_cookie", Some("a=1; session = s ; b=; Session=second; c=3")),
            ("$http_none", None),
            ("[$http_none]", Some("[]")),
            (" $http_none ", None),
            (
                "$proxy_add_x_forwarded_for",
                Some("1.1.1.1, 2.2.2.2, 3.3.3.3, 2001:db8::1"),
            ),
            ("$proxy_host", Some("backend:9000")),
            ("$remote_addr", Some("2001:db8::1")),
            ("$realip_remote_addr", Some("2001:db8::1")),
            ("$remote_port", Some("4711")),
            (
                "$request_method $request_uri",
                Some("GET /a%20b?x=1&Token=t%20t&token=u&=v&flag"),
            ),
            ("$scheme://$host:$server_port", Some("https://example.com:443")),
            ("${scheme}s", Some("httpss")),
            ("$server_name", Some("server.example")),
            ("", None),
            ("\u{e9}", Some("\u{e9}")),
        ];
        for (template, expected) in cases {
            let value = template.parse::<Template>().unwrap().value(&variables);
            let value = value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            assert_eq!(value.as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn what_is_not_known_stands_for_nothing() {
        let (parts, ()) = http::Request::new(()).into_parts();
        let hop = Hop::unknown();
        let variables = Variables::new(&parts, &hop);
        for name in [
            "host",
            "remote_addr",
            "remote_port",
            "server_port",
            "server_name",
            "proxy_host",
            "args",
            "is_args",
        ] {
            let template: Template = format!("<${name}>").parse().unwrap();
            assert_eq!(template.value(&variables).unwrap(), "<>", "{name}");
        }
        let named = variables.server_name("a.example");
        assert_eq!(
            "$host".parse::<Template>().unwrap().value(&named).unwrap(),
            "a.example"
        );
    }

    #[test]
    fn the_targets_host_is_the_host() {
        let (mut parts, ()) = http::Request::get("http://A.example:80/x?y")
            .body(())
            .unwrap()
            .into_parts();
        parts.headers.insert("host", "b.example".parse().unwrap());
        let hop = Hop::unknown();
        let value = "$host $request_uri"
            .parse::<Template>()
            .unwrap()
            .value(&Variables::new(&parts, &hop));
        assert_eq!(value.unwrap(), "a.example /x?y");
    }

    #[test]
    fn what_is_no_template() {
        use TemplateError::*;
        let cases = [
            ("$nothing", UnknownVariable("nothing".to_owned())),
            ("${nothing}", UnknownVariable("nothing".to_owned())),
            ("$http_", UnknownVariable("http_".to_owned())),
            ("$hostx", UnknownVariable("hostx".to_owned())),
            (
                "$connection_upgrade",
                UnknownVariable("connection_upgrade".to_owned()),
            ),
            ("$", NoName),
            ("$ host", NoName),
            ("$$$", NoName),
            ("${}", NoName),
            ("$-", NoName),
            ("${host", OpenBrace),
            ("a\r\nb", InvalidByte),
            ("a\0", InvalidByte),
            ("$host\n", InvalidByte),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Template>(), Err(expected), "{text:?}");
        }
        let text = "$remote_adr".parse::<Template>().unwrap_err().to_string();
        assert!(
            text.starts_with("there is no variable $remote_adr; there are "),
            "{text}"
        );
        assert!(text.contains(" $remote_addr,"), "{text}");
    }

    #[test]
    fn all_known_names_are_known() {
        for name in variables::KNOWN.split(", ") {
            let name = name.replace("NAME", "x");
            assert!(name.parse::<Template>().is_ok(), "{name}");
        }
    }
}
