//! What is said to a client without an upstream, and what is changed on every answer.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use switchover::header::rules::Template;
use switchover::service::ProxyBody;

use super::phases::Plan;
use super::request::Request;
use super::scope::{At, Scope};

/// How a path of this server becomes the address to which a client is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addressing {
    /// `absolute_redirect`; else it stays a path.
    is_absolute: bool,
    /// `port_in_redirect`.
    has_port: bool,
    /// `server_name_in_redirect`; else by the name that the client has for it.
    has_server_name: bool,
}

impl Addressing {
    pub(crate) fn new(scope: &Scope) -> Addressing {
        let or = |said: &Option<At<bool>>, default| said.as_ref().map_or(default, |said| said.value);
        Addressing {
            is_absolute: or(&scope.absolute_redirect, true),
            has_port: or(&scope.port_in_redirect, true),
            has_server_name: or(&scope.name_in_redirect, false),
        }
    }
}

/// The status that a client is sent: those that are nginx's own are 400 to it.
pub(crate) fn shown(status: StatusCode) -> StatusCode {
    match status.as_u16() {
        494..=497 => StatusCode::BAD_REQUEST,
        _ => status,
    }
}

/// Those that have a page in nginx. Others have no content, and no type.
fn has_page(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        301..=303 | 307 | 308 | 400..=407 | 409..=416 | 421 | 429 | 494..=497 | 500..=505 | 507
    )
}

/// As nginx has it: programs that read pages know these.
fn html(status: StatusCode) -> String {
    let reason = match status.as_u16() {
        302 => "Found",
        401 => "Authorization Required",
        405 => "Not Allowed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        416 => "Requested Range Not Satisfiable",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        _ => status.canonical_reason().unwrap_or_default(),
    };
    let (reason, line) = match status.as_u16() {
        495 => (
            "The SSL certificate error",
            "<center>The SSL certificate error</center>\r\n",
        ),
        496 => (
            "No required SSL certificate was sent",
            "<center>No required SSL certificate was sent</center>\r\n",
        ),
        _ => (reason, ""),
    };
    let shown = shown(status);
    let title = format!("{} {reason}", shown.as_u16());
    let heading = match line {
        "" => title.clone(),
        _ => format!(
            "{} {}",
            shown.as_u16(),
            shown.canonical_reason().unwrap_or_default()
        ),
    };
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{heading}</h1></center>\r\n{line}</body>\r\n</html>\r\n"
    )
}

/// A line that says why, in place of an upstream's answer: as the library has it for ordinary requests.
pub(crate) fn line(status: StatusCode, text: String) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::from(text));
    *response.status_mut() = status;
    let fields = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONNECTION, "close"),
    ];
    for (name, value) in fields {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Request {
    /// The page that belongs to a status.
    pub(crate) fn page(&self, status: StatusCode, fields: HeaderMap) -> Plan {
        // Those are known to `error_page` alone.
        let status = match status.as_u16() {
            494..=497 => StatusCode::BAD_REQUEST,
            _ => status,
        };
        if self
            .state
            .lock()
            .kept_status
            .is_some_and(|kept| (494..=497).contains(&kept.as_u16()))
        {
            self.state.lock().kept_status = Some(status);
        }
        // A page has a type of its own, whatever was to be in its place.
        self.state.lock().fields.remove(CONTENT_TYPE);
        let mut response = Response::new(ProxyBody::from(String::new()));
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        if has_page(status) {
            *response.body_mut() = ProxyBody::from(html(status));
            response
                .headers_mut()
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("text/html"));
        }
        // As in nginx: what else comes on the connection is not to be trusted, or not to be served.
        if matches!(status.as_u16(), 400 | 413 | 414 | 497 | 495 | 496 | 500 | 501) {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.finished(response)
    }

    /// A text of the configuration's.
    pub(crate) fn text(&self, status: StatusCode, text: String) -> Plan {
        let kind = {
            let state = self.state.lock();
            let location = state.location.as_ref().unwrap_or(&self.server.own);
            location.types.of(&state.uri).to_owned()
        };
        let mut response = Response::new(ProxyBody::from(text));
        *response.status_mut() = status;
        // Where there is no content it is of no type, as in nginx.
        let has_content = status != StatusCode::NO_CONTENT;
        if let Some(kind) = HeaderValue::try_from(kind).ok().filter(|_| has_content) {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        self.finished(response)
    }

    /// An answer of the proxy's own, on its way out.
    pub(crate) fn finished(&self, mut response: Response<ProxyBody>) -> Plan {
        let kept = self.state.lock().fields.clone();
        let headers = response.headers_mut();
        for name in kept.keys() {
            if !headers.contains_key(name) || name == CONTENT_TYPE {
                headers.remove(name);
                headers.extend(
                    kept.get_all(name)
                        .iter()
                        .map(|value| (name.clone(), value.clone())),
                );
            }
        }
        self.make_absolute(response.headers_mut());
        Plan::Respond(Box::new(self.filtered(response)))
    }

    /// `absolute_redirect`, of a path to which the configuration sends a client.
    pub(crate) fn make_absolute(&self, headers: &mut HeaderMap) {
        let to = headers
            .get(LOCATION)
            .and_then(|to| std::str::from_utf8(to.as_bytes()).ok());
        let addressing = self.addressing();
        let path = to.filter(|to| addressing.is_absolute && to.starts_with('/'));
        if let Some(absolute) = path.and_then(|path| self.absolute(path, addressing)) {
            headers.insert(LOCATION, absolute);
        }
    }

    /// Any answer, on its way out: with the status that `error_page` keeps, and with what `add_header` adds.
    pub(crate) fn filtered(&self, mut response: Response<ProxyBody>) -> Response<ProxyBody> {
        let (kept, location) = {
            let state = self.state.lock();
            (state.kept_status, state.location.clone())
        };
        if let Some(status) = kept {
            *response.status_mut() = status;
        }
        let status = response.status();
        if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        self.state.lock().sent = Some((status, response.headers().clone()));
        let location = location.unwrap_or_else(|| self.server.own.clone());
        let headers = response.headers_mut();
        self.with(|asked| location.fields.add(headers, status, asked));
        if !self.is_sub {
            response = location.handling.gzip.apply(response, &self.head);
        }
        self.state.lock().sent = Some((status, response.headers().clone()));
        response
    }

    /// What the server adds to all of its answers, to one that was given before there was a location.
    pub(crate) fn complete(&self, status: StatusCode, headers: &mut HeaderMap) {
        self.state.lock().sent = Some((status, headers.clone()));
        self.with(|asked| self.server.own.fields.add(headers, status, asked));
        self.state.lock().sent = Some((status, headers.clone()));
    }

    fn addressing(&self) -> Addressing {
        let location = self.state.lock().location.clone();
        location.map_or(self.server.own.fields.addressing, |location| {
            location.fields.addressing
        })
    }

    /// Where a path leads that stands in `Location` alone: to this server.
    fn absolute(&self, path: &str, addressing: Addressing) -> Option<HeaderValue> {
        let host = match addressing.has_server_name && !self.server.name.is_empty() {
            true => self.server.name.clone(),
            // As in nginx: by the address to which it has come.
            false if self.host_name().is_none_or(|host| host.is_empty()) => match self.facts.server? {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            },
            false => {
                let host: Template = "$host".parse().ok()?;
                let host = self.with(|asked| host.value(&asked.variables()))?;
                host.to_str().ok()?.to_owned()
            }
        };
        let hop = self.hop();
        let scheme = hop.scheme();
        let port = match (hop.server_port(), scheme) {
            (None | Some(80), "http") | (None | Some(443), "https") => String::new(),
            (Some(port), _) if addressing.has_port => format!(":{port}"),
            _ => String::new(),
        };
        HeaderValue::try_from(format!("{scheme}://{host}{port}{path}")).ok()
    }
}
