//! What is said to a client without an upstream: the answers that a configuration gives itself, redirections to a slash, and
//! refusals. The connection closes after each.

use std::sync::Arc;

use http::header::{HeaderValue, LOCATION};
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode};
use switchover::handshake::Rejection;
use switchover::header::rules::Template;
use switchover::tunnel::{AnyStream, Rewind};

use super::access_log::Log;
use super::answer::{Answer, NO_ANSWER};
use super::connection::Served;
use super::fields::Fields;
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

impl Request<'_> {
    /// Gives an answer of the configuration's own, and closes.
    pub(crate) async fn answer(
        self,
        stream: Rewind<AnyStream>,
        answer: &Answer,
        fields: &Fields,
        default_type: &str,
        logs: &Arc<[Log]>,
    ) -> Served {
        if answer.status().as_u16() != NO_ANSWER {
            let asked = self.asked(None);
            let mut response = answer.response(&asked, default_type);
            let status = response.status();
            let rules = fields.rules(&asked);
            rules.apply_to_response(response.headers_mut(), status, &asked.variables());
            return self.respond(stream, response, fields.addressing, logs).await;
        }
        drop(stream);
        let worker = self.worker;
        self.story_here(logs).end(worker, NO_ANSWER, Some(0), Some(0));
        Served::Ended
    }

    pub(crate) async fn redirect(
        self,
        stream: Rewind<AnyStream>,
        to: &PathAndQuery,
        addressing: Addressing,
    ) -> Served {
        let mut response = Response::new(String::new());
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        if let Ok(value) = HeaderValue::try_from(to.as_str()) {
            response.headers_mut().insert(LOCATION, value);
        }
        let logs = self.server.logs.clone();
        self.respond(stream, response, addressing, &logs).await
    }

    /// Where a path leads that stands in `Location` alone: to this server.
    fn absolute(&self, path: &str, addressing: Addressing) -> Option<HeaderValue> {
        let host = match addressing.has_server_name && !self.server.name.is_empty() {
            true => self.server.name.clone(),
            false => {
                let host: Template = "$host".parse().ok()?;
                let host = host.value(&self.asked(None).variables())?;
                host.to_str().ok()?.to_owned()
            }
        };
        let scheme = self.hop.scheme();
        let port = match (self.hop.server_port(), scheme) {
            (None | Some(80), "http") | (None | Some(443), "https") => String::new(),
            (Some(port), _) if addressing.has_port => format!(":{port}"),
            _ => String::new(),
        };
        HeaderValue::try_from(format!("{scheme}://{host}{port}{path}")).ok()
    }

    async fn respond(
        self,
        stream: Rewind<AnyStream>,
        mut response: Response<String>,
        addressing: Addressing,
        logs: &Arc<[Log]>,
    ) -> Served {
        let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
        let path = to.filter(|to| addressing.is_absolute && to.starts_with('/'));
        if let Some(absolute) = path.and_then(|path| self.absolute(path, addressing)) {
            response.headers_mut().insert(LOCATION, absolute);
        }
        let status = response.status().as_u16();
        let length = match self.head.method {
            Method::HEAD => 0,
            _ => response.body().len() as u64,
        };
        let responded = self.listener.acceptor.respond(stream, &self.head, response).await;
        let worker = self.worker;
        let story = self.story_here(logs);
        match responded {
            Ok(()) => story.end(worker, status, None, Some(length)),
            Err(why) => story.failed(worker, &why),
        }
        Served::Ended
    }

    pub(crate) async fn reject(self, stream: Rewind<AnyStream>, why: Rejection) -> Served {
        // A client that does not take its answer has had it all the same.
        let _ = self
            .listener
            .acceptor
            .reject(stream, &self.head, why.clone())
            .await;
        let (worker, logs) = (self.worker, self.server.logs.clone());
        self.story_here(&logs).refused(worker, &why);
        Served::Ended
    }
}
