//! What is shown of an attempt: the lines that were sent and received, and what has become of them on the way. Without
//! secrets: such a text is made to be passed on.

use http::{HeaderMap, HeaderName, Version};
use switchover::diagnose::Attempt;

/// Fields whose value is for nobody else.
const SECRET: [&str; 5] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
];

/// What an attempt shows, line by line.
pub(crate) fn lines(attempt: &Attempt) -> Vec<String> {
    let request = attempt.request();
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut lines = vec![format!("> {} {} HTTP/1.1", request.method, shown(target))];
    lines.extend(fields(&request.headers).map(|(name, value)| format!("> {name}: {value}")));
    if let Some(response) = attempt.response() {
        let reason = response.status.canonical_reason().unwrap_or_default();
        let status = response.status.as_u16();
        lines.push(format!("< {} {status} {reason}", version(response.version)));
        lines.extend(fields(&response.headers).map(|(name, value)| format!("< {name}: {value}")));
    }
    if let Some(arrived) = attempt.arrived_request() {
        let target = arrived.uri.path_and_query().map_or("/", |target| target.as_str());
        lines.push(format!(
            "arrived: {} {} {}",
            arrived.method,
            shown(target),
            version(arrived.version)
        ));
        lines.extend(differences(&request.headers, &arrived.headers));
    }
    lines
}

/// Fields in the order of the map, fit for a terminal.
pub(crate) fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&str, String)> {
    headers.iter().map(|(name, value)| {
        let value = match SECRET.contains(&name.as_str()) {
            true => format!("({} bytes, not shown)", value.len()),
            false => shown(&String::from_utf8_lossy(value.as_bytes())),
        };
        (name.as_str(), value)
    })
}

fn differences(sent: &HeaderMap, arrived: &HeaderMap) -> Vec<String> {
    let of = |headers: &HeaderMap, name: &HeaderName| {
        let mut one = HeaderMap::new();
        for value in headers.get_all(name) {
            one.append(name, value.clone());
        }
        let values: Vec<String> = fields(&one).map(|(_, value)| value).collect();
        values.join(", ")
    };
    let same = |name: &HeaderName| sent.get_all(name).iter().eq(arrived.get_all(name).iter());
    let mut lines = Vec::new();
    for name in sent.keys().filter(|name| !same(name)) {
        lines.push(match arrived.contains_key(name) {
            true => format!("changed: {name}: {} (was {})", of(arrived, name), of(sent, name)),
            false => format!("lost:    {name}: {}", of(sent, name)),
        });
    }
    for name in arrived.keys().filter(|name| !sent.contains_key(*name)) {
        lines.push(format!("added:   {name}: {}", of(arrived, name)));
    }
    lines
}

pub(crate) fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// A peer's text without anything that a terminal would obey.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}
