//! What answers without an upstream: files, and what takes their place.

use std::path::Path;
use std::sync::Arc;

use http::header::{ACCEPT_RANGES, CONTENT_RANGE, HeaderMap, HeaderValue, LAST_MODIFIED, RANGE};
use http::{Method, Response, StatusCode};
use switchover::service::ProxyBody;

use super::files::{self, Named};
use super::gzip::{Gzip, OfFile};
use super::location::{Location, TryFiles};
use super::phases::{Phase, Plan, Stop, location_field};
use super::preconditions::{Since, Validators, Verdict};
use super::request::Request;
use super::uri;

impl Request {
    /// `try_files`: the first file that is there is answered with.
    pub(crate) fn try_files(&self, location: &Arc<Location>, try_files: &TryFiles) -> Phase<()> {
        let is_whole = location.root.is_alias && location.root.matched.is_none();
        self.state.lock().adds_to_alias = is_whole;
        for file in &try_files.files {
            let name = self.with(|asked| file.value(asked));
            // A slash that is written at its end says that it is a folder, and is no part of its name.
            let wants_folder = file.source().ends_with('/');
            let name = match wants_folder {
                true => name.strip_suffix('/').unwrap_or(&name).to_owned(),
                false => name,
            };
            let name = match name.starts_with('/') || location.root.is_alias {
                true => name,
                false => format!("/{name}"),
            };
            let found = self.with(|asked| files::look(location, asked, &name));
            let is_it = match found {
                Named::Folder(_) => wants_folder,
                Named::File(_) => !wants_folder,
                _ => false,
            };
            if is_it {
                // As in nginx, a `proxy_pass` that replaces a prefix does so in the name of the file; to one that replaces nothing the
                // target goes up as it came.
                self.explain(|| format!("try_files: {name} is there"));
                let mut state = self.state.lock();
                state.uri = name;
                state.is_found = true;
                return Ok(());
            }
        }
        self.state.lock().adds_to_alias = false;
        self.explain(|| {
            format!(
                "try_files: nothing is there, and {} is the last",
                try_files.last.source()
            )
        });
        // As it is written: what a client has sent is no status.
        if let Some(status) = try_files.last.source().strip_prefix('=') {
            let status: StatusCode = status.parse().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            // nginx sends nothing for these, and the client waits in vain.
            let is_nothing = status.is_success() && !matches!(status.as_u16(), 201 | 204);
            return Err(match is_nothing {
                true => Stop::Plan(Plan::Close),
                false => status.into(),
            });
        }
        let last = self.with(|asked| try_files.last.value(asked));
        Err(self.redirected(&last))
    }

    /// The file that a URI names.
    pub(crate) async fn file(&self, location: &Arc<Location>) -> Phase<Plan> {
        let (uri, method) = {
            let state = self.state.lock();
            (state.uri.clone(), state.method.clone())
        };
        // Before anyone looks for a file, as in nginx.
        if !matches!(method, Method::GET | Method::HEAD | Method::POST) {
            return Err(StatusCode::METHOD_NOT_ALLOWED.into());
        }
        if uri.ends_with('/') {
            return Err(self.index(location, &uri));
        }
        let path = match self.with(|asked| files::look(location, asked, &uri)) {
            Named::File(path) => path,
            Named::Missing => return Err(StatusCode::NOT_FOUND.into()),
            Named::Forbidden => return Err(StatusCode::FORBIDDEN.into()),
            Named::Folder(_) => {
                let args = self.state.lock().args.clone();
                let to = uri::joined(&format!("{}/", uri::escape(&uri)), &args);
                return Err(Stop::Status(StatusCode::MOVED_PERMANENTLY, location_field(&to)));
            }
        };
        if !matches!(method, Method::GET | Method::HEAD) {
            return Err(StatusCode::METHOD_NOT_ALLOWED.into());
        }
        self.file_at(&path, &method, location, location.types.of(&uri))
            .await
    }

    /// A file, as far as the client's conditions want it. They are no matter of a page that takes the place of an answer.
    async fn file_at(&self, path: &Path, method: &Method, location: &Location, kind: &str) -> Phase<Plan> {
        let is_usual = {
            let mut state = self.state.lock();
            // A page with 200 is a file as any other, of which there may be a part, or nothing new.
            state.kept_status = state.kept_status.filter(|status| *status != StatusCode::OK);
            state.kept_status.is_none()
        };
        let handling = &location.handling;
        let has_etag = handling.etag.as_ref().is_none_or(|on| on.value);
        let since = handling
            .since
            .as_ref()
            .map_or(Since::default(), |said| said.value);
        let now = || {
            std::fs::metadata(path)
                .ok()
                .map(|file| Validators::of(&file, has_etag))
        };
        let mut validators = now();
        let judge = |validators: &Validators| validators.judge(&self.head.headers, since);
        let verdict = validators.as_ref().filter(|_| is_usual).map(judge);
        let range = match verdict {
            Some(Verdict::Failed) => return Err(StatusCode::PRECONDITION_FAILED.into()),
            Some(Verdict::NotModified) => {
                let mut response = Response::new(ProxyBody::from(String::new()));
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                validators
                    .iter()
                    .for_each(|validators| validators.apply(response.headers_mut()));
                return Ok(self.finished(response));
            }
            Some(Verdict::Send { ranges: true }) => self.head.headers.get(RANGE).filter(is_of_bytes),
            Some(Verdict::Send { ranges: false }) | None => None,
        };
        let length = std::fs::metadata(path).map_or(0, |file| file.len());
        let compressed = handling.gzip.of_file(kind, length, &self.head);
        let range = range.filter(|_| compressed != OfFile::Whole);
        let mut response = files::serve(path, method, range, kind).await;
        if validators != now() {
            // Another file has taken its place: whose content this is, and what the client's conditions say of it, is not known.
            validators = None;
            response = files::serve(path, method, None, kind).await;
        }
        match response.status().is_client_error() {
            true => {
                // What there is, where the client has asked for what is not.
                let mut fields = HeaderMap::new();
                fields.extend(
                    response
                        .headers_mut()
                        .remove(CONTENT_RANGE)
                        .map(|range| (CONTENT_RANGE, range)),
                );
                Err(Stop::Status(response.status(), fields))
            }
            false => {
                validators
                    .iter()
                    .for_each(|validators| validators.apply(response.headers_mut()));
                // A whole file has it from those that would compress it.
                if compressed == OfFile::Varies && response.status() != StatusCode::OK {
                    Gzip::vary(response.headers_mut());
                }
                // A page with another status has no time, and no parts.
                if !is_usual {
                    response.headers_mut().remove(LAST_MODIFIED);
                    response.headers_mut().remove(ACCEPT_RANGES);
                }
                Ok(self.finished(response))
            }
        }
    }

    /// `index`: the file that a folder is answered with.
    fn index(&self, location: &Arc<Location>, uri: &str) -> Stop {
        let own = [super::text::Text::literal("index.html")];
        let names = match location.handling.index.is_empty() {
            true => &own[..],
            false => &location.handling.index[..],
        };
        for name in names {
            let name = self.with(|asked| name.value(asked));
            let to = match name.starts_with('/') {
                true => return self.redirected(&name),
                false => format!("{uri}{name}"),
            };
            if let Named::File(_) = self.with(|asked| files::look(location, asked, &to)) {
                let args = self.state.lock().args.clone();
                return self.redirected(&uri::joined(&to, &args));
            }
        }
        match self.with(|asked| files::look(location, asked, uri.trim_end_matches('/'))) {
            // What is in it is not shown.
            Named::Folder(_) => StatusCode::FORBIDDEN.into(),
            Named::Forbidden => StatusCode::FORBIDDEN.into(),
            _ => StatusCode::NOT_FOUND.into(),
        }
    }
}

/// RFC 9110, section 14.2: a server MUST ignore a Range with a unit that it does not understand.
fn is_of_bytes(range: &&HeaderValue) -> bool {
    range.as_bytes().starts_with(b"bytes=")
}
