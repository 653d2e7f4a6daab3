//! `root`, `alias`, `index` and `try_files`: files of a location, by the kept service of tower-http.

use std::path::{Path, PathBuf};

use http::header::{ACCEPT_RANGES, CONTENT_TYPE, HeaderValue, RANGE};
use http::{Method, Request, Response, StatusCode};
use switchover::service::ProxyBody;
use tower_http::services::ServeFile;

use super::location::Location;
use super::text::{Asked, Text};

/// Where the files of a location are.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) folder: Text,
    /// `alias`: the folder takes the place of what the location matched.
    pub(crate) is_alias: bool,
    /// The path of the location in which it stands; none of one by a regular expression.
    pub(crate) matched: Option<String>,
}

/// What a URI names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    File(PathBuf),
    Folder(PathBuf),
    Missing,
    Forbidden,
}

/// `$document_root`.
pub(crate) fn root(asked: &Asked<'_>) -> String {
    let location = asked.state.lock().location.clone();
    location.map_or(String::new(), |location| {
        folder(&location, asked).display().to_string()
    })
}

/// `$request_filename`.
pub(crate) fn filename(asked: &Asked<'_>) -> String {
    let (location, uri) = {
        let state = asked.state.lock();
        (state.location.clone(), state.uri.clone())
    };
    location.map_or(String::new(), |location| {
        path(&location, asked, &uri).display().to_string()
    })
}

fn folder(location: &Location, asked: &Asked<'_>) -> PathBuf {
    location.prefix.join(location.root.folder.value(asked))
}

/// The path of a URI in the folder of its location. A URI has no dot segments left in it.
pub(crate) fn path(location: &Location, asked: &Asked<'_>, uri: &str) -> PathBuf {
    let folder = folder(location, asked);
    if !location.root.is_alias {
        return joined(&folder, uri);
    }
    match &location.root.matched {
        Some(prefix) => joined(&folder, uri.strip_prefix(prefix.as_str()).unwrap_or_default()),
        // By a regular expression the folder is all of it, unless try_files has found something there.
        None if asked.state.lock().adds_to_alias => joined(&folder, uri),
        None => folder,
    }
}

/// As texts, with nothing between them: `alias /one;` and `/two` is `/onetwo`.
fn joined(folder: &Path, rest: &str) -> PathBuf {
    let mut text = folder.as_os_str().to_owned();
    text.push(rest);
    PathBuf::from(text)
}

/// Whether a path climbs, or holds what no name of a file does.
fn is_safe(uri: &str) -> bool {
    !uri.split('/').any(|segment| segment == "..") && !uri.contains('\0')
}

/// What is at the path of a URI.
pub(crate) fn look(location: &Location, asked: &Asked<'_>, uri: &str) -> Named {
    // Behind what an alias takes the place of, too: nginx lets /img../ out of the folder of /img.
    let behind = location
        .root
        .matched
        .as_deref()
        .filter(|_| location.root.is_alias);
    let behind = behind.and_then(|prefix| uri.strip_prefix(prefix));
    if !is_safe(uri) || !behind.is_none_or(is_safe) {
        return Named::Missing;
    }
    let path = path(location, asked, uri);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Named::Folder(path),
        // A pipe has no end, and no length.
        Ok(found) if !found.is_file() => Named::Missing,
        // A file is no folder: `/file/` is not there.
        Ok(_) if uri.ends_with('/') => Named::Missing,
        Ok(_) => Named::File(path),
        Err(why) if why.kind() == std::io::ErrorKind::PermissionDenied => Named::Forbidden,
        Err(_) => Named::Missing,
    }
}

/// `if (-f …)` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    File,
    Folder,
    Exists,
    Executable,
}

impl Test {
    pub(crate) fn holds(self, path: &str) -> bool {
        use std::os::unix::fs::PermissionsExt;
        match std::fs::metadata(path) {
            Err(_) => false,
            Ok(found) => match self {
                Test::File => found.is_file(),
                Test::Folder => found.is_dir(),
                Test::Exists => true,
                Test::Executable => found.permissions().mode() & 0o111 != 0,
            },
        }
    }
}

/// A file as an answer, or the part of it that is asked for, by tower-http.
pub(crate) async fn serve(
    path: &Path,
    method: &Method,
    range: Option<&HeaderValue>,
    kind: &str,
) -> Response<ProxyBody> {
    let mut request = Request::new(ProxyBody::from(String::new()));
    *request.method_mut() = method.clone();
    // Nothing else of the client's fields: files are sent as they are, and conditions have been looked at.
    request
        .headers_mut()
        .extend(range.map(|range| (RANGE, range.clone())));
    match ServeFile::new(path).try_call(request).await {
        Ok(mut response) => {
            if let (true, Ok(kind)) = (response.headers().contains_key(CONTENT_TYPE), kind.parse()) {
                response.headers_mut().insert(CONTENT_TYPE, kind);
            }
            // As in nginx: a part has none of its own.
            if response.status() != StatusCode::OK {
                response.headers_mut().remove(ACCEPT_RANGES);
            }
            response.map(ProxyBody::new)
        }
        Err(why) => {
            let mut response = Response::new(ProxyBody::from(String::new()));
            *response.status_mut() = match why.kind() {
                std::io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
                _ => StatusCode::NOT_FOUND,
            };
            response
        }
    }
}
