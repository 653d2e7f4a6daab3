//! `sticky cookie` and `sticky route`: a client stays with the server that its cookie, or another variable, names.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use md5::{Digest, Md5};

use super::clock::Moment;
use super::findings::Findings;
use super::measures;
use super::names::Names;
use super::text::{Asked, Text};
use super::tree::Directive;

/// A `sticky` line.
#[derive(Debug)]
pub(crate) struct Sticky {
    by: By,
    /// `route` of servers, by their names, and by the addresses that were found for them.
    routes: RwLock<HashMap<String, String>>,
}

/// How many addresses are remembered. Beyond that a new one has no `route`.
const MOST_ROUTES: usize = 4096;

#[derive(Debug)]
enum By {
    Cookie(Box<Cookie>),
    /// The first that is not empty.
    Route(Vec<Text>),
}

#[derive(Debug, Default)]
struct Cookie {
    name: String,
    /// None of it is there without `expires`; no time is `max`.
    expires: Option<Option<Duration>>,
    domain: Option<Text>,
    path: Option<Text>,
    same_site: Option<Text>,
    is_secure: bool,
    is_http_only: bool,
}

impl Sticky {
    /// None for another kind, which is not carried out.
    pub(crate) fn read(
        line: &Directive,
        names: &Names,
        findings: &mut Findings,
    ) -> Option<Result<Sticky, String>> {
        let by = match line.first() {
            "cookie" => Cookie::read(line, names, findings).map(|cookie| By::Cookie(Box::new(cookie))),
            "route" if line.arguments.len() > 1 => {
                let texts = line.arguments.iter().skip(1);
                Ok(By::Route(
                    texts
                        .map(|text| Text::parse(text, names, &line.place, findings))
                        .collect(),
                ))
            }
            "route" => Err("route takes variables".to_owned()),
            _ => return None,
        };
        Some(by.map(|by| Sticky {
            by,
            routes: RwLock::default(),
        }))
    }

    pub(crate) fn add_route(&mut self, server: &str, route: &str) {
        let routes = self.routes.get_mut().unwrap_or_else(PoisonError::into_inner);
        routes.insert(server.to_owned(), route.to_owned());
    }

    fn route(&self, server: &str) -> Option<String> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.get(server).cloned()
    }

    /// A server of a name is chosen by its address, which has the `route` of the name.
    pub(crate) fn found(&self, name: &str, address: &str) {
        if self.route(address).is_some() {
            return;
        }
        if let Some(route) = self.route(name) {
            let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
            if routes.len() < MOST_ROUTES {
                routes.insert(address.to_owned(), route);
            }
        }
    }

    /// What a request says of its server.
    pub(crate) fn wanted(&self, asked: &Asked<'_>) -> Option<String> {
        let wanted = match &self.by {
            By::Cookie(cookie) => cookie_of(&asked.head.headers, &cookie.name)?.to_owned(),
            By::Route(texts) => texts
                .iter()
                .map(|text| text.value(asked))
                .find(|value| !value.is_empty())?,
        };
        Some(wanted).filter(|wanted| !wanted.is_empty())
    }

    /// Whether that is this server.
    pub(crate) fn is_wanted(&self, wanted: &str, server: &str) -> bool {
        match (&self.by, self.route(server)) {
            (_, Some(route)) => route == wanted,
            (By::Cookie(_), None) => digest(server) == wanted,
            (By::Route(_), None) => false,
        }
    }

    /// Names the server that has answered to the client.
    pub(crate) fn set(&self, server: &str, headers: &mut HeaderMap, asked: &Asked<'_>) {
        let By::Cookie(cookie) = &self.by else { return };
        let id = self.route(server).unwrap_or_else(|| digest(server));
        if let Ok(value) = HeaderValue::try_from(cookie.line(&id, asked)) {
            headers.append(SET_COOKIE, value);
        }
    }
}

/// As nginx calls a server that has no `route`.
fn digest(server: &str) -> String {
    Md5::digest(server.as_bytes())
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

impl Cookie {
    fn read(line: &Directive, names: &Names, findings: &mut Findings) -> Result<Cookie, String> {
        let mut cookie = Cookie {
            name: line.argument(1).to_owned(),
            ..Cookie::default()
        };
        let is_token = |byte: u8| byte.is_ascii_graphic() && !b"=;,\"\\ ".contains(&byte);
        if cookie.name.is_empty() || !cookie.name.bytes().all(is_token) {
            return Err(format!("{:?} is no name of a cookie", cookie.name));
        }
        for argument in line.arguments.iter().skip(2) {
            let mut text = |value| Some(Text::parse(value, names, &line.place, findings));
            match argument.split_once('=').unwrap_or((argument, "")) {
                ("expires", "max") => cookie.expires = Some(None),
                ("expires", time) => cookie.expires = Some(Some(measures::time(time)?)),
                ("domain", value) => cookie.domain = text(value),
                ("path", value) => cookie.path = text(value),
                ("samesite", value) => cookie.same_site = text(value),
                ("secure", "") => cookie.is_secure = true,
                ("httponly", "") => cookie.is_http_only = true,
                _ => return Err(format!("there is no parameter {argument}")),
            }
        }
        Ok(cookie)
    }

    /// The value of `Set-Cookie`.
    fn line(&self, id: &str, asked: &Asked<'_>) -> String {
        let mut line = format!("{}={id}", self.name);
        match self.expires {
            None => {}
            Some(None) => line.push_str("; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000"),
            Some(Some(time)) => {
                let at = Moment::of(SystemTime::now() + time).in_cookies();
                let _ = write!(line, "; expires={at}; max-age={}", time.as_secs());
            }
        }
        let value = |text: &Option<Text>| {
            let value = text.as_ref()?.value(asked);
            // What a client has sent adds no attribute of its own.
            Some(value).filter(|value| !value.is_empty() && !value.contains([';', ',']))
        };
        for (name, text) in [("domain", &self.domain), ("path", &self.path)] {
            if let Some(value) = value(text) {
                let _ = write!(line, "; {name}={value}");
            }
        }
        if let Some(policy) = value(&self.same_site) {
            let known = ["strict", "lax", "none"]
                .into_iter()
                .find(|known| policy.eq_ignore_ascii_case(known));
            let _ = write!(line, "; samesite={}", known.unwrap_or("strict"));
        }
        if self.is_secure {
            line.push_str("; secure");
        }
        if self.is_http_only {
            line.push_str("; httponly");
        }
        line
    }
}

/// The first cookie with this name.
fn cookie_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}
