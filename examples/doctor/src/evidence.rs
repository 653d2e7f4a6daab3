//! What is shown of an attempt: the lines that were sent and received, the beginning of the body, and what became of the
//! fields on the way. The status line is the one that came.

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName};
use switchover::diagnose::{Attempt, BodyKind, Failure};
use switchover::http1::encode_request;

use super::examination::Examination;
use super::secrets::Secrets;

/// What is shown of a body.
const MAX_SHOWN: usize = 512;
const MAX_LINES: usize = 8;

/// What an attempt shows, line by line.
pub(crate) fn lines(examination: &Examination, secrets: &Secrets) -> Vec<String> {
    let attempt = &examination.attempt;
    let mut lines = Vec::new();
    let request = attempt.request();
    if was_sent(attempt) {
        let mut bytes = Vec::new();
        encode_request(request, &mut bytes);
        lines.extend(of_head(&bytes, secrets).map(|line| format!("> {line}")));
    }
    lines.extend(of_head(&examination.head, secrets).map(|line| format!("< {line}")));
    if let Some(body) = Body::of(examination, secrets) {
        lines.push(format!("< ({})", body.summary()));
        lines.extend(body.text.lines().map(|line| format!("< {line}")));
    }
    if let Some(arrived) = attempt.arrived_request() {
        let target = arrived.uri.path_and_query().map_or("/", |target| target.as_str());
        let (method, version) = (&arrived.method, arrived.version);
        lines.push(format!("arrived: {method} {} {version:?}", secrets.mask(target)));
        lines.extend(differences(&request.headers, &arrived.headers, secrets));
    }
    lines
}

/// The status line as it came.
pub(crate) fn status_line(examination: &Examination, secrets: &Secrets) -> Option<String> {
    of_head(&examination.head, secrets).next()
}

/// The beginning of a body, to be shown.
pub(crate) struct Body {
    pub(crate) kind: BodyKind,
    coding: String,
    /// How many bytes of it were read.
    pub(crate) bytes: usize,
    /// Whether more than that belongs to it, or more than is shown.
    pub(crate) is_cut: bool,
    /// Its lines, where it is text.
    pub(crate) text: String,
}

impl Body {
    /// None where there is no answer, and where the body is the report of this program's own origin.
    pub(crate) fn of(examination: &Examination, secrets: &Secrets) -> Option<Body> {
        let answer = examination.attempt.answer()?;
        let is_report = examination.attempt.arrived_request().is_some();
        let kind = answer.body_kind();
        if is_report
            || answer.head().status == http::StatusCode::SWITCHING_PROTOCOLS
            || kind == BodyKind::Empty
        {
            return None;
        }
        let text = match kind {
            BodyKind::Text => String::from_utf8_lossy(answer.body_bytes()).into_owned(),
            _ => String::new(),
        };
        let beginning: String = text.chars().take(MAX_SHOWN).collect();
        let lines = beginning
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty());
        let shown: Vec<String> = lines.take(MAX_LINES).map(|line| secrets.mask(line)).collect();
        let is_all = beginning.lines().filter(|line| !line.trim().is_empty()).count() <= MAX_LINES
            && text.chars().nth(MAX_SHOWN).is_none()
            && examination.body_bytes <= answer.body_bytes().len();
        let coding = answer.head().headers.get(http::header::CONTENT_ENCODING);
        Some(Body {
            kind,
            coding: coding.map_or(String::new(), |coding| {
                secrets.mask(&String::from_utf8_lossy(coding.as_bytes()))
            }),
            bytes: examination.body_bytes,
            is_cut: !examination.body_is_whole || kind == BodyKind::Text && !is_all,
            text: shown.join("\n"),
        })
    }

    fn summary(&self) -> String {
        let bytes = self.bytes;
        match self.kind {
            BodyKind::Text if self.is_cut => "the body begins with:".to_owned(),
            BodyKind::Text => "the body:".to_owned(),
            BodyKind::Compressed => format!(
                "the body is compressed ({}), and not shown: {bytes} bytes",
                self.coding
            ),
            kind => format!("the body is {kind}, and not shown: {bytes} bytes"),
        }
    }
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
                | Failure::TlsTimedOut
        )
    )
}

fn of_head<'a>(bytes: &[u8], secrets: &'a Secrets) -> impl Iterator<Item = String> + use<'a> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let lines: Vec<String> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    // The first line is no field.
    lines.into_iter().enumerate().map(|(index, line)| match index {
        0 => secrets.mask(&line),
        _ => secrets.mask_field(&line),
    })
}

fn differences(sent: &HeaderMap, arrived: &HeaderMap, secrets: &Secrets) -> Vec<String> {
    let of = |headers: &HeaderMap, name: &HeaderName| {
        let values = headers.get_all(name).iter();
        let values: Vec<String> = values.map(|value| secrets.mask_value(name, value)).collect();
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
