//! What a hop did to the request, by what was sent and what arrived.

use http::header::{CONNECTION, HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Version};

use super::{Diagnosis, Finding};
use crate::handshake::{HandshakePolicy, Rejection, UpgradeRequest, wants_upgrade};
use crate::header::ConnectionOptions;

pub(super) fn compare(sent: &Parts, arrived: &Parts, findings: &mut Vec<Finding>) {
    upgrade(arrived, findings);
    handshake(sent, arrived, findings);
    let changed = |name: &HeaderName| {
        let (sent, arrived) = (values(&sent.headers, name), values(&arrived.headers, name));
        (sent != arrived).then(|| {
            let shown = |values: &str| {
                if values.is_empty() {
                    "none".to_owned()
                } else {
                    values.to_owned()
                }
            };
            format!("sent {}, arrived {}", shown(&sent), shown(&arrived))
        })
    };
    if let Some(detail) = changed(&HOST) {
        findings.push(Finding::certain(Diagnosis::HostChanged).detail(detail));
    }
    if let Some(detail) = changed(&ORIGIN) {
        findings.push(Finding::certain(Diagnosis::OriginChanged).detail(detail));
    }
    let path = |parts: &Parts| {
        parts
            .uri
            .path_and_query()
            .map_or("/".to_owned(), ToString::to_string)
    };
    let (from, to) = (path(sent), path(arrived));
    if from != to {
        let detail = format!("sent {from}, arrived {to}");
        findings.push(Finding::certain(Diagnosis::PathChanged).detail(detail));
    }
    others(sent, arrived, findings);
}

/// HTTP/1.0, and the two fields that end at every hop (RFC 9110, section 7.8). Each is a finding, for each has a remedy of its own.
fn upgrade(arrived: &Parts, findings: &mut Vec<Finding>) {
    if arrived.version == Version::HTTP_10 {
        let why = Rejection::HandshakeInHttp10;
        findings.push(Finding::certain(Diagnosis::Http10Hop).detail(format_args!("at the origin: {why}")));
    }
    let has_upgrade = arrived.headers.contains_key(UPGRADE);
    let has_option = ConnectionOptions::of(&arrived.headers).contains("upgrade");
    let (diagnosis, why) = match (has_upgrade, has_option) {
        (true, true) => return,
        (false, false) => (Diagnosis::UpgradeLost, Rejection::UpgradeMissing),
        (false, true) => (Diagnosis::UpgradeFieldLost, Rejection::UpgradeMissing),
        (true, false) => (Diagnosis::ConnectionFieldLost, Rejection::ConnectionOptionMissing),
    };
    let connection = values(&arrived.headers, &CONNECTION);
    let connection = match connection.is_empty() {
        true => String::new(),
        false => format!(", Connection: {connection}"),
    };
    findings.push(Finding::certain(diagnosis).detail(format_args!("at the origin: {why}{connection}")));
}

/// The rest of the handshake, by the check that every gateway makes.
fn handshake(sent: &Parts, arrived: &Parts, findings: &mut Vec<Finding>) {
    let policy = HandshakePolicy::default();
    let whole = wants_upgrade(arrived);
    let rejected = UpgradeRequest::parse(arrived, &policy).err().filter(|_| whole);
    let diagnosis = match &rejected {
        None => None,
        Some(Rejection::Method) => Some(Diagnosis::MethodChanged),
        Some(Rejection::KeyMissing | Rejection::KeyRepeated | Rejection::KeyInvalid(_)) => {
            Some(Diagnosis::KeyChanged)
        }
        Some(Rejection::VersionMissing | Rejection::VersionRepeated | Rejection::VersionUnsupported) => {
            Some(Diagnosis::VersionChanged)
        }
        Some(_) => Some(Diagnosis::HandshakeInvalid),
    };
    if let (Some(diagnosis), Some(why)) = (diagnosis, &rejected) {
        findings.push(Finding::certain(diagnosis).detail(why).changing(why.hint()));
        return;
    }
    for (name, diagnosis) in [
        (SEC_WEBSOCKET_KEY, Diagnosis::KeyChanged),
        (SEC_WEBSOCKET_VERSION, Diagnosis::VersionChanged),
    ] {
        let (sent, arrived) = (values(&sent.headers, &name), values(&arrived.headers, &name));
        if sent != arrived {
            let detail = format!("sent {sent:?}, arrived {arrived:?}");
            findings.push(Finding::certain(diagnosis).detail(detail));
        }
    }
}

/// What has a finding of its own, and what a proxy adds to by its trade (RFC 9110, section 7.6.3; RFC 7239).
fn is_ordinary(name: &HeaderName) -> bool {
    let own = [
        CONNECTION,
        HOST,
        ORIGIN,
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION,
        UPGRADE,
    ];
    let of_proxies = [
        "via",
        "forwarded",
        "x-real-ip",
        "keep-alive",
        "te",
        "proxy-connection",
    ];
    let name_text = name.as_str();
    !own.contains(name) && !of_proxies.contains(&name_text) && !name_text.starts_with("x-forwarded-")
}

fn others(sent: &Parts, arrived: &Parts, findings: &mut Vec<Finding>) {
    let (mut lost, mut changed) = (Vec::new(), Vec::new());
    for name in sent.headers.keys().filter(|name| is_ordinary(name)) {
        match arrived.headers.contains_key(name) {
            false => lost.push(name.as_str()),
            true if values(&sent.headers, name) != values(&arrived.headers, name) => {
                changed.push(name.as_str())
            }
            true => {}
        }
    }
    for (names, diagnosis) in [(lost, Diagnosis::FieldsLost), (changed, Diagnosis::FieldsChanged)] {
        if !names.is_empty() {
            findings.push(Finding::certain(diagnosis).detail(names.join(", ")));
        }
    }
}

fn values(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    lines.join(", ")
}
