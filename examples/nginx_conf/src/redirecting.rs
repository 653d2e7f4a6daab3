//! Redirections within: to a URI, to a named location, to the page of an answer.

use http::header::LOCATION;
use http::{Method, StatusCode};

use super::connection::report;
use super::error_page::Instead;
use super::phases::{Entry, Stop, location_field};
use super::replies;
use super::request::Request;
use super::uri;

impl Request {
    /// A redirection within, to a URI or a named location.
    pub(crate) fn redirected(&self, to: &str) -> Stop {
        self.state.lock().adds_to_alias = false;
        if to.starts_with('@') {
            let Some(location) = self.server.locations.named(to) else {
                return StatusCode::INTERNAL_SERVER_ERROR.into();
            };
            self.state.lock().is_internal = true;
            return Stop::Go(Entry::Named(location.clone()));
        }
        let (path, args) = uri::split(to);
        self.sent_to(path.to_owned(), args.to_owned())
    }

    /// `X-Accel-Redirect`: what an upstream names does not climb. A page of the server's own is asked for by GET.
    pub(crate) fn accelerated(&self, to: &[u8]) -> Stop {
        if let Some(named) = to.strip_prefix(b"@") {
            return self.redirected(&format!("@{}", String::from_utf8_lossy(named)));
        }
        let Some((path, args)) = uri::checked(to) else {
            report(
                self.hop(),
                format!("X-Accel-Redirect {}: it is not followed", to.escape_ascii()),
            );
            return StatusCode::NOT_FOUND.into();
        };
        let mut state = self.state.lock();
        if state.method != Method::HEAD {
            state.method = Method::GET;
        }
        drop(state);
        self.sent_to(path, args)
    }

    fn sent_to(&self, path: String, args: String) -> Stop {
        let mut state = self.state.lock();
        state.uri = path;
        state.args = args;
        state.is_internal = true;
        state.is_unparsed = false;
        state.is_of_location = true;
        Stop::Go(Entry::Uri)
    }

    /// The page that takes the place of an answer; none where there is none.
    pub(crate) fn error_page(&self, status: StatusCode) -> Option<Stop> {
        let (location, is_last) = {
            let state = self.state.lock();
            (state.location.clone(), state.is_last_page)
        };
        let location = location.unwrap_or_else(|| self.server.own.clone());
        let is_recursive = location
            .handling
            .recursive_error_pages
            .as_ref()
            .is_some_and(|on| on.value);
        let mut pages = location.handling.error_pages.iter();
        let page = pages.find(|page| page.is_for(status) && !is_last)?;
        let to = self.with(|asked| page.to.value(asked));
        {
            let mut state = self.state.lock();
            state.is_error_page = true;
            // What the location that sends there says holds for all that comes of it.
            state.is_last_page |= !is_recursive;
            state.kept_status = match page.instead {
                Instead::Kept => Some(replies::shown(status)),
                Instead::OfPage => None,
                Instead::Status(status) => Some(status),
            };
        }
        self.explain(|| format!("error_page {status}: {to}"));
        if to.starts_with('@') {
            return Some(self.redirected(&to));
        }
        if to.starts_with('/') {
            let mut state = self.state.lock();
            if state.method != Method::HEAD {
                state.method = Method::GET;
            }
            drop(state);
            return Some(self.redirected(&to));
        }
        let redirects = |status: &StatusCode| matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let status = match page.instead {
            Instead::Status(status) if redirects(&status) => status,
            _ => StatusCode::FOUND,
        };
        let mut state = self.state.lock();
        state.kept_status = None;
        state.fields.remove(LOCATION);
        drop(state);
        Some(Stop::Plan(self.page(status, location_field(&to))))
    }
}
