//! `gzip`: which answers are compressed for which clients, as nginx decides it.

use std::time::SystemTime;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, DATE, ETAG, EXPIRES, HeaderMap, HeaderValue, LAST_MODIFIED, USER_AGENT, VARY, VIA,
};
use http::{Response, StatusCode, Version, request};
use http_body::Body;
use switchover::service::ProxyBody;

use super::clock::Moment;
use super::compressed_body::Compressed;
use super::findings::Place;
use super::measures;
use super::regex::Regex;
use super::scope::{At, set};
use super::tree::Directive;

/// What is said of it on one level, and inherited.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gzip {
    is_on: Option<At<bool>>,
    has_vary: Option<At<bool>>,
    types: Option<At<Vec<String>>>,
    least: Option<At<u64>>,
    level: Option<At<usize>>,
    /// `gzip_http_version 1.0`.
    for_1_0: Option<At<bool>>,
    proxied: Option<At<Vec<String>>>,
    disabled: Option<At<Vec<Regex>>>,
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfFile {
    /// It is compressed, and no part of it is sent.
    Whole,
    /// For other clients it is.
    Varies,
    Plain,
}

/// What `gzip_proxied` knows.
const PROXIED: [&str; 9] = [
    "off",
    "expired",
    "no-cache",
    "no-store",
    "private",
    "no_last_modified",
    "no_etag",
    "auth",
    "any",
];

/// The first line of a level puts an end to those of the outer one.
fn add<T>(
    list: &mut Option<At<Vec<T>>>,
    is_first: bool,
    more: Result<Vec<T>, String>,
    place: &Place,
) -> Result<(), String> {
    match list.as_mut().filter(|_| !is_first) {
        Some(list) => more.map(|more| list.value.extend(more)),
        None => set(list, more, place),
    }
}

impl Gzip {
    /// A line of a list, of which a level may have several. None for another one.
    pub(crate) fn list(&mut self, line: &Directive, is_first: bool) -> Option<Result<(), String>> {
        let place = &line.place;
        let words = || line.arguments.clone();
        Some(match &*line.name {
            "gzip_types" => add(&mut self.types, is_first, Ok(words()), place),
            "gzip_proxied" => {
                let unknown = line
                    .arguments
                    .iter()
                    .find(|word| !PROXIED.contains(&word.as_str()));
                let words = unknown.map_or_else(|| Ok(words()), |word| Err(format!("there is no {word}")));
                add(&mut self.proxied, is_first, words, place)
            }
            "gzip_disable" => {
                let regexes = line.arguments.iter().map(|argument| match argument.as_str() {
                    "msie6" => Regex::new("MSIE [456]\\.(?!.*SV1)", false),
                    regex => Regex::new(regex, true),
                });
                add(&mut self.disabled, is_first, regexes.collect(), place)
            }
            _ => return None,
        })
    }

    /// A line of its own. None for another one.
    pub(crate) fn single(&mut self, line: &Directive) -> Option<Result<(), String>> {
        let (first, place) = (line.first(), &line.place);
        Some(match &*line.name {
            "gzip" => set(&mut self.is_on, measures::switch(first), place),
            "gzip_vary" => set(&mut self.has_vary, measures::switch(first), place),
            "gzip_min_length" => set(&mut self.least, measures::size(first), place),
            "gzip_comp_level" => {
                let level = measures::number(first).and_then(|level| match level {
                    1..=9 => Ok(level),
                    _ => Err(format!("{first:?} is no level from 1 to 9")),
                });
                set(&mut self.level, level, place)
            }
            "gzip_http_version" => match first {
                "1.0" | "1.1" => set(&mut self.for_1_0, Ok(first == "1.0"), place),
                other => Err(format!("{other:?} is neither 1.0 nor 1.1")),
            },
            _ => return None,
        })
    }

    /// Compresses an answer that nginx would compress.
    pub(crate) fn apply(&self, response: Response<ProxyBody>, asked: &request::Parts) -> Response<ProxyBody> {
        if !self.is_for_answer(&response) {
            return response;
        }
        let (mut head, body) = response.into_parts();
        if is_on(&self.has_vary) {
            Gzip::vary(&mut head.headers);
        }
        if !self.is_for_client(asked, &head.headers) {
            return Response::from_parts(head, body);
        }
        head.headers
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(ACCEPT_RANGES);
        weaken(&mut head.headers);
        let level = self.level.as_ref().map_or(1, |level| level.value);
        let body = Compressed::new(body, level as u32);
        Response::from_parts(head, ProxyBody::new(body))
    }

    /// What is made of a file of which a client asks for a part. As in nginx, what is compressed is sent whole.
    pub(crate) fn of_file(&self, kind: &str, length: u64, asked: &request::Parts) -> OfFile {
        let is_of_it = is_on(&self.is_on) && length >= self.least() && self.is_of(kind);
        match is_of_it {
            true if self.is_for_client(asked, &HeaderMap::new()) => OfFile::Whole,
            true if is_on(&self.has_vary) => OfFile::Varies,
            _ => OfFile::Plain,
        }
    }

    /// The shortest body that is compressed.
    fn least(&self) -> u64 {
        self.least.as_ref().map_or(20, |least| least.value)
    }

    /// Whether an answer to this client may be compressed.
    pub(crate) fn may_be_for(&self, asked: &request::Parts) -> bool {
        is_on(&self.is_on) && self.is_for_client(asked, &HeaderMap::new())
    }

    /// `Vary`, of an answer that is compressed for some clients.
    pub(crate) fn vary(headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }

    fn is_for_answer(&self, response: &Response<ProxyBody>) -> bool {
        let headers = response.headers();
        let is_of_status = matches!(
            response.status(),
            StatusCode::OK | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
        );
        let is_encoded = headers
            .get(CONTENT_ENCODING)
            .is_some_and(|value| !value.is_empty());
        is_on(&self.is_on)
            && is_of_status
            && !is_encoded
            && length(response).is_none_or(|length| length >= self.least())
            && self.is_of_type(headers)
    }

    fn is_of_type(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| self.is_of(value))
    }

    fn is_of(&self, kind: &str) -> bool {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is = |known: &String| known == "*" || known.eq_ignore_ascii_case(kind);
        // It is always one of them.
        kind.eq_ignore_ascii_case("text/html")
            || self
                .types
                .as_ref()
                .is_some_and(|types| types.value.iter().any(is))
    }

    fn is_for_client(&self, asked: &request::Parts, headers: &HeaderMap) -> bool {
        let takes = |value: &HeaderValue| value.to_str().is_ok_and(takes_gzip);
        let is_old = asked.version < Version::HTTP_11 && !is_on(&self.for_1_0);
        if is_old || !asked.headers.get(ACCEPT_ENCODING).is_some_and(takes) {
            return false;
        }
        if asked.headers.contains_key(VIA) && !self.is_for_proxies(asked, headers) {
            return false;
        }
        let agent = asked
            .headers
            .get(USER_AGENT)
            .map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let disabled = self.disabled.iter().flat_map(|disabled| &disabled.value);
        let is_disabled = |agent: &str| {
            disabled
                .clone()
                .any(|regex| regex.is_match(agent).unwrap_or(true))
        };
        !agent.is_some_and(|agent| is_disabled(&agent))
    }

    /// `gzip_proxied`, in nginx's order.
    fn is_for_proxies(&self, asked: &request::Parts, headers: &HeaderMap) -> bool {
        let has = |word: &str| {
            let words = self.proxied.iter().flat_map(|proxied| &proxied.value);
            words.into_iter().any(|known| known == word)
        };
        if has("off") || self.proxied.is_none() {
            return false;
        }
        if has("any") || has("auth") && asked.headers.contains_key(AUTHORIZATION) {
            return true;
        }
        let time = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| Moment::read(value.to_str().ok()?))
        };
        if headers.contains_key(EXPIRES) {
            let made = time(DATE).unwrap_or_else(SystemTime::now);
            return has("expired") && time(EXPIRES).is_some_and(|expires| expires < made);
        }
        if headers.contains_key(CACHE_CONTROL) {
            let lines = || {
                headers
                    .get_all(CACHE_CONTROL)
                    .iter()
                    .filter_map(|line| line.to_str().ok())
            };
            let says = |word: &str| {
                let mut words = lines().flat_map(|line| line.split(','));
                words.any(|known| known.trim().eq_ignore_ascii_case(word))
            };
            return ["no-cache", "no-store", "private"]
                .into_iter()
                .any(|word| has(word) && says(word));
        }
        !(has("no_last_modified") && headers.contains_key(LAST_MODIFIED)
            || has("no_etag") && headers.contains_key(ETAG))
    }
}

fn is_on(said: &Option<At<bool>>) -> bool {
    said.as_ref().is_some_and(|on| on.value)
}

/// The length of a body, where it is known.
fn length(response: &Response<ProxyBody>) -> Option<u64> {
    let said = response.headers().get(CONTENT_LENGTH);
    let said = said.and_then(|length| length.to_str().ok()?.parse().ok());
    said.or_else(|| response.body().size_hint().exact())
}

/// Whether `Accept-Encoding` takes it: a weight of 0 does not.
fn takes_gzip(list: &str) -> bool {
    list.split(',').any(|element| {
        let (name, parameters) = element.split_once(';').unwrap_or((element, "q=1"));
        let weight = parameters
            .trim()
            .strip_prefix(['q', 'Q'])
            .and_then(|rest| rest.trim().strip_prefix('='));
        let weight = weight.map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|weight| weight > 0.0)
    })
}

/// A tag that was of the bytes is one of what they mean.
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(ETAG).map(HeaderValue::as_bytes) else {
        return;
    };
    if tag.starts_with(b"W/") {
        return;
    }
    let weak = [b"W/", tag].concat();
    match HeaderValue::from_bytes(&weak) {
        Ok(weak) if tag.starts_with(b"\"") => headers.insert(ETAG, weak),
        _ => headers.remove(ETAG),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_it() {
        for (list, expected) in [
            ("gzip", true),
            ("deflate, gzip", true),
            ("GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, br", false),
            ("x-gzip", false),
            ("*", false),
            ("", false),
            ("gzip;q=x", false),
        ] {
            assert_eq!(takes_gzip(list), expected, "{list}");
        }
    }
}
