//! Law: what an answer means that is no 101: by what its body says, by what changes it, and else by its status.

use http::header::{HeaderMap, LOCATION, ORIGIN, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{StatusCode, Uri, Version, response};

use super::{Attempt, Diagnosis, Finding, Product, Severity, Variation, product, said};

pub(super) fn judge(attempt: &Attempt, response: &response::Parts, body: &str, findings: &mut Vec<Finding>) {
    // What has arrived says more than any answer to it.
    if !findings
        .iter()
        .any(|finding| finding.severity() == Severity::Error)
    {
        if response.version == Version::HTTP_10 {
            let detail = "the answer is in HTTP/1.0";
            findings.push(Finding::certain(Diagnosis::Http10Hop).detail(detail));
        }
        let by_body = said::by(body).map(|said| {
            let finding =
                Finding::certain(said.diagnosis).detail(format_args!("the answer says: {}", said.words));
            match said.change {
                Some(change) => finding.changing(change),
                None => finding,
            }
        });
        match by_body.or_else(|| by_variation(attempt, response.status)) {
            Some(finding) => findings.push(finding),
            None => by_status(attempt, response, body, findings),
        }
    }
    let cors = |name: &http::HeaderName| name.as_str().starts_with("access-control-allow-");
    if response.headers.keys().any(cors) {
        findings.push(Finding::certain(Diagnosis::CorsInsteadOfOrigin));
    }
}

/// What makes a 101 of it, or another refusal.
fn by_variation(attempt: &Attempt, status: StatusCode) -> Option<Finding> {
    let switched = |variation| attempt.answer_to(variation) == Some(&Ok(StatusCode::SWITCHING_PROTOCOLS));
    let headers = &attempt.request.headers;
    if headers.contains_key(ORIGIN) && (switched(Variation::WithoutOrigin) || switched(Variation::OwnOrigin))
    {
        return Some(
            Finding::certain(Diagnosis::OriginRefused).detail("with another Origin, or without, it is a 101"),
        );
    }
    if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) && switched(Variation::WithoutSubprotocol) {
        return Some(Finding::certain(Diagnosis::SubprotocolRefused).detail("without them it is a 101"));
    }
    let ambiguous = matches!(status.as_u16(), 200..=299 | 400 | 404);
    let Some(Ok(without)) = attempt.answer_to(Variation::WithoutUpgrade) else {
        return None;
    };
    // A hop that has gone down in between is no answer of the origin's.
    let comparable = !without.is_server_error() && !without.is_redirection();
    (ambiguous && comparable && *without != status).then(|| {
        Finding::likely(Diagnosis::HandshakeRefused).detail(format_args!("{status}; without: {without}"))
    })
}

fn by_status(attempt: &Attempt, response: &response::Parts, body: &str, findings: &mut Vec<Finding>) {
    let status = response.status;
    let of_proxy = product::page(body);
    let certain = |diagnosis| Finding::certain(diagnosis).detail(status);
    let likely = |diagnosis| Finding::likely(diagnosis).detail(status);
    if of_proxy == Some(Product::Filter) {
        return findings.push(likely(Diagnosis::ContentInspection));
    }
    match status.as_u16() {
        426 if speaks_another_version(&response.headers) => findings.push(certain(Diagnosis::VersionRefused)),
        // Who asks for an upgrade has not seen the one that was sent.
        426 => findings.push(certain(Diagnosis::UpgradeLost)),
        // A page that a proxy has made by itself: no origin has been asked.
        400 if of_proxy.is_some() => findings.push(certain(Diagnosis::BadRequest)),
        404 if of_proxy.is_some() => findings.push(certain(Diagnosis::NotFound)),
        404 => findings.extend([likely(Diagnosis::UpgradeLost), likely(Diagnosis::NotFound)]),
        200..=299 | 400 | 501 => findings.push(likely(Diagnosis::UpgradeLost)),
        301 | 302 | 303 | 307 | 308 => findings.push(redirect(attempt, &response.headers)),
        401 => findings.push(certain(Diagnosis::Unauthorized)),
        403 => findings.push(certain(Diagnosis::Forbidden)),
        405 => findings.push(likely(Diagnosis::MethodChanged)),
        407 => findings.push(certain(Diagnosis::ProxyAuthentication)),
        // 494 is nginx's own.
        414 | 431 | 494 => findings.push(certain(Diagnosis::RequestHeadTooLarge)),
        429 => findings.push(certain(Diagnosis::RateLimited)),
        502 => findings.push(certain(Diagnosis::BadGateway)),
        503 => findings.push(certain(Diagnosis::Unavailable)),
        504 | 524 => findings.push(certain(Diagnosis::GatewayTimeout)),
        // RFC 9110, section 15.6.6: what servers of HTTP/1.1 alone say to a hop of HTTP/1.0.
        505 => findings.push(certain(Diagnosis::Http10Hop)),
        // Cloudflare's own.
        520..=523 | 525..=527 | 530 => findings.push(certain(Diagnosis::OriginUnreachable)),
        500..=599 => findings.push(certain(Diagnosis::ServerError)),
        _ => findings.push(certain(Diagnosis::UnexpectedStatus)),
    }
}

/// RFC 6455, section 4.4: the versions that a server speaks. Some libraries name 13 whatever they refuse.
fn speaks_another_version(headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(SEC_WEBSOCKET_VERSION).iter().peekable();
    let is_13 = |value: &http::HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split(',').any(|version| version.trim() == "13")
    };
    named.peek().is_some() && !named.any(is_13) && !headers.contains_key(UPGRADE)
}

fn redirect(attempt: &Attempt, headers: &HeaderMap) -> Finding {
    let Some(location) = headers.get(LOCATION) else {
        return Finding::certain(Diagnosis::Redirect);
    };
    let location = String::from_utf8_lossy(location.as_bytes());
    let target: Option<Uri> = location.parse().ok();
    let diagnosis = target.map_or(Diagnosis::Redirect, |target| leads(&attempt.request.uri, &target));
    Finding::certain(diagnosis).detail(format_args!("to {location}"))
}

fn leads(from: &Uri, to: &Uri) -> Diagnosis {
    let was_plain = from
        .scheme_str()
        .is_none_or(|scheme| matches!(scheme, "http" | "ws"));
    if was_plain && matches!(to.scheme_str(), Some("https" | "wss")) {
        return Diagnosis::RedirectToTls;
    }
    let (before, after) = (from.path(), to.path());
    if before != after && before.trim_end_matches('/') == after.trim_end_matches('/') {
        return Diagnosis::RedirectToSlash;
    }
    Diagnosis::Redirect
}
