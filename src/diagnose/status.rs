//! What the status of an answer means that says nothing else. A status is certain; a loss on the way is supposed, for no
//! status shows one.

use http::header::{ALLOW, HeaderMap, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE};

use super::{Answer, Attempt, Diagnosis, Finding, Product, Variation, product, redirect};

pub(super) fn judge(attempt: &Attempt, answer: &Answer, findings: &mut Vec<Finding>) {
    let certain = |diagnosis| Finding::certain(diagnosis).detail(answer.status_and_words());
    let likely = |diagnosis| Finding::likely(diagnosis).detail(answer.status_and_words());
    let of_proxy = product::page(answer.text());
    if of_proxy == Some(Product::Filter) {
        return findings.push(likely(Diagnosis::ContentInspection));
    }
    match answer.status().as_u16() {
        400 | 501 if of_proxy.is_some() => findings.push(certain(Diagnosis::BadRequest)),
        400 | 422 | 501 => refused(attempt, answer, findings),
        404 | 410 if of_proxy.is_some() => findings.push(certain(Diagnosis::NotFound)),
        404 | 410 => findings.extend([certain(Diagnosis::NotFound), likely(Diagnosis::UpgradeLost)]),
        405 => findings.extend([method(answer), likely(Diagnosis::UpgradeLost)]),
        426 if speaks_another_version(answer.headers()) => findings.push(certain(Diagnosis::VersionRefused)),
        // A server that was asked for an upgrade asks for one: it did not see the one that was sent.
        426 => findings.push(likely(Diagnosis::UpgradeLost)),
        200..=299 if answer.is_html() => {
            findings.extend([certain(Diagnosis::PageServed), likely(Diagnosis::UpgradeLost)]);
        }
        200..=299 => findings.push(likely(Diagnosis::UpgradeLost)),
        301 | 302 | 303 | 307 | 308 => findings.push(redirect::judge(attempt, answer)),
        401 => findings.push(unauthorized(answer)),
        403 => findings.push(certain(Diagnosis::Forbidden)),
        407 => findings.push(certain(Diagnosis::ProxyAuthentication)),
        421 => findings.push(certain(Diagnosis::HostRefused)),
        // 494 is nginx's own.
        414 | 431 | 494 => findings.push(certain(Diagnosis::RequestHeadTooLarge)),
        429 => findings.push(certain(Diagnosis::RateLimited)),
        502 => findings.push(certain(Diagnosis::BadGateway)),
        503 => findings.push(certain(Diagnosis::Unavailable)),
        504 | 524 => findings.push(certain(Diagnosis::GatewayTimeout)),
        // RFC 9110, section 15.6.6: the answer of servers of HTTP/1.1 alone to a hop of HTTP/1.0.
        505 => findings.push(likely(Diagnosis::Http10Hop)),
        // Cloudflare's own.
        520..=523 | 525..=527 | 530 => findings.push(certain(Diagnosis::OriginUnreachable)),
        500..=599 => {
            findings.push(certain(Diagnosis::ServerError));
            if is_answer_without_upgrade(attempt, answer) {
                findings.push(likely(Diagnosis::UpgradeLost));
            }
        }
        _ => findings.push(certain(Diagnosis::UnexpectedStatus)),
    }
}

/// An answer that gives a reason is one of those that are not read here; one without may be that to any ordinary request.
fn refused(attempt: &Attempt, answer: &Answer, findings: &mut Vec<Finding>) {
    let detail = answer.status_and_words();
    let says_why = answer.words().is_some();
    if says_why {
        findings.push(Finding::certain(Diagnosis::RequestRefused).detail(&detail));
    }
    if !says_why || is_answer_without_upgrade(attempt, answer) {
        findings.push(Finding::likely(Diagnosis::UpgradeLost).detail(&detail));
    }
}

/// Whether a request without `Upgrade` has the same answer. Then it is not known whether the upgrade arrived.
fn is_answer_without_upgrade(attempt: &Attempt, answer: &Answer) -> bool {
    let without = attempt.answer_to(Variation::WithoutUpgrade);
    matches!(without, Some(Ok(without)) if without.says_the_same(answer))
}

fn method(answer: &Answer) -> Finding {
    let allowed = answer.headers().get(ALLOW);
    let allowed = allowed.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let detail = answer.status_and_words();
    Finding::certain(Diagnosis::MethodNotAllowed).detail(match allowed {
        Some(allowed) => format!("{detail}; Allow: {allowed}"),
        None => detail,
    })
}

/// The schemes alone: a challenge may hold a token.
fn unauthorized(answer: &Answer) -> Finding {
    let challenges = answer.headers().get_all(WWW_AUTHENTICATE).iter();
    let schemes: Vec<String> = challenges
        .filter_map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            text.split([' ', ',']).next().map(str::to_owned)
        })
        .collect();
    let detail = answer.status_and_words();
    Finding::certain(Diagnosis::Unauthorized).detail(match schemes.is_empty() {
        true => detail,
        false => format!("{detail}; by {}", schemes.join(", ")),
    })
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
