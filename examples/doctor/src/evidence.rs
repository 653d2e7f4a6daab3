//! What is shown of an attempt: the lines that were sent and received, and what has become of them on the way. Without
//! secrets: such a text is made to be passed on.

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, Version};
use switchover::diagnose::{Attempt, Failure};
use switchover::head::{encode_request, encode_response};

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
    let mut lines = Vec::new();
    let request = attempt.request();
    if was_sent(attempt) {
        let mut sent = request.clone();
        sent.headers = without_secrets(&sent.headers);
        let mut bytes = Vec::new();
        encode_request(&sent, &mut bytes);
        lines.extend(of_head(&bytes).map(|line| format!("> {line}")));
    }
    if let Some(response) = attempt.response() {
        let mut received = response.clone();
        received.headers = without_secrets(&received.headers);
        let mut bytes = Vec::new();
        encode_response(&received, &mut bytes);
        lines.extend(of_head(&bytes).map(|line| format!("< {line}")));
        if response.version == Version::HTTP_10 {
            lines.push("the answer is in HTTP/1.0".to_owned());
        }
    }
    if let Some(arrived) = attempt.arrived_request() {
        let target = arrived.uri.path_and_query().map_or("/", |target| target.as_str());
        let (method, version) = (&arrived.method, arrived.version);
        lines.push(format!("arrived: {method} {} {version:?}", shown(target)));
        lines.extend(differences(
            &without_secrets(&request.headers),
            &without_secrets(&arrived.headers),
        ));
    }
    lines
}

fn was_sent(attempt: &Attempt) -> bool {
    !matches!(
        attempt.failure(),
        Some(
            Failure::Unresolved
                | Failure::Refused
                | Failure::ConnectTimedOut
                | Failure::Unreachable
                | Failure::Tls { .. }
        )
    )
}

fn of_head(bytes: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let lines: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(shown).collect();
    lines.into_iter()
}

fn without_secrets(headers: &HeaderMap) -> HeaderMap {
    let shown = headers.iter().map(|(name, value)| {
        let hidden = SECRET
            .contains(&name.as_str())
            .then(|| format!("({} bytes, not shown)", value.len()));
        let value = hidden
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| value.clone());
        (name.clone(), value)
    });
    shown.collect()
}

fn differences(sent: &HeaderMap, arrived: &HeaderMap) -> Vec<String> {
    let of = |headers: &HeaderMap, name: &HeaderName| {
        let values = headers.get_all(name).iter();
        let values: Vec<String> = values
            .map(|value| shown(&String::from_utf8_lossy(value.as_bytes())))
            .collect();
        values.join(", ")
    };
    let (mut lines, mut named) = (Vec::new(), Vec::new());
    for name in sent.keys() {
        let (before, after) = (of(sent, name), of(arrived, name));
        named.push(name);
        // Connection is each hop's own, and its options have no case.
        let same = before == after || name == CONNECTION && before.eq_ignore_ascii_case(&after);
        match arrived.contains_key(name) {
            false => lines.push(format!("lost:    {name}: {before}")),
            true if !same => lines.push(format!("changed: {name}: {after} (was {before})")),
            true => {}
        }
    }
    for name in arrived.keys().filter(|name| !named.contains(name)) {
        lines.push(format!("added:   {name}: {}", of(arrived, name)));
    }
    lines
}

/// A peer's text without anything that a terminal would obey.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}
