//! The order in which a final answer that is not a 101 is judged: by what it says in so many words, by what changes it, and
//! else by its status. Must not know what a status means.

use http::header::{ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderName, StatusCode, Version};

use super::{Answer, Attempt, Diagnosis, Finding, Product, Severity, Variation, product, said, status};

/// The head that every hop takes. HAProxy has 16 KiB for it, nginx four lines of 8 KiB, some servers 4 KiB in all.
const SAFE_HEAD: usize = 4096;

pub(super) fn judge(attempt: &Attempt, answer: &Answer, findings: &mut Vec<Finding>) {
    let is_error = |finding: &Finding| finding.severity() == Severity::Error;
    // The request that arrived says more than any answer to it.
    if !findings.iter().any(is_error) {
        // HAProxy before 2.0 writes its error pages in HTTP/1.0, and speaks HTTP/1.1 all the same.
        let of_haproxy = product::page(answer.text()) == Some(Product::Haproxy);
        if answer.head().version == Version::HTTP_10 && !of_haproxy {
            // `format!`: with Rust 1.85 the arguments of `format_args!` do not outlive the statement.
            let detail = format!("the answer is in HTTP/1.0, {}", answer.status_and_words());
            findings.push(Finding::certain(Diagnosis::Http10Hop).detail(detail));
        }
        match by_words(answer).or_else(|| by_variation(attempt, answer)) {
            Some(finding) => findings.push(finding),
            None => status::judge(attempt, answer, findings),
        }
    }
    let cors = |name: &HeaderName| name.as_str().starts_with("access-control-allow-");
    if answer.headers().keys().any(cors) {
        findings.push(Finding::certain(Diagnosis::CorsInsteadOfOrigin));
    }
    if !answer.has_ended() {
        findings.push(Finding::certain(Diagnosis::BodyIncomplete));
    }
}

fn by_words(answer: &Answer) -> Option<Finding> {
    let said = said::by(answer)?;
    let detail = format!("the answer says: {}: {}", answer.status().as_u16(), said.words);
    let finding = match said.certain {
        true => Finding::certain(said.diagnosis),
        false => Finding::likely(said.diagnosis),
    };
    let finding = finding.detail(detail);
    Some(match said.change {
        Some(change) => finding.changing(change),
        None => finding,
    })
}

/// The changes that make a 101 of it, or another refusal.
fn by_variation(attempt: &Attempt, answer: &Answer) -> Option<Finding> {
    let headers = &attempt.request().headers;
    let switched = |variation| {
        let answered = attempt
            .answer_to(variation)
            .and_then(|answered| answered.as_ref().ok());
        answered.is_some_and(|answer| answer.status() == StatusCode::SWITCHING_PROTOCOLS)
    };
    let found = |diagnosis, detail: &str| {
        let detail = format!("{}; {detail}", answer.status_and_words());
        Some(Finding::certain(diagnosis).detail(detail))
    };
    if headers.contains_key(ORIGIN) && (switched(Variation::WithoutOrigin) || switched(Variation::OwnOrigin))
    {
        return found(
            Diagnosis::OriginRefused,
            "with another Origin, or without, it is a 101",
        );
    }
    if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) && switched(Variation::WithoutSubprotocol) {
        return found(Diagnosis::SubprotocolRefused, "without them it is a 101");
    }
    if switched(Variation::HostPort) {
        return found(
            Diagnosis::HostRefused,
            "with or without a port in Host, whichever was not sent, it is a 101",
        );
    }
    too_large(attempt, Some(answer)).or_else(|| arrives(attempt, answer))
}

/// A head that is larger than every hop takes, where a short one is treated otherwise.
pub(super) fn too_large(attempt: &Attempt, answer: Option<&Answer>) -> Option<Finding> {
    let length = attempt.head_length();
    let short = attempt.answer_to(Variation::ShortHead)?.as_ref().ok()?;
    let as_before = answer.is_some_and(|answer| answer.says_the_same(short));
    // A cookie that is left out may be the session: then the answer is one to a stranger.
    let of_a_stranger = matches!(short.status().as_u16(), 401 | 403 | 300..=399 | 500..=599);
    if length <= SAFE_HEAD || as_before || of_a_stranger {
        return None;
    }
    let was = answer.map_or("no answer".to_owned(), Answer::status_and_words);
    let detail = format!("a head of {length} bytes: {was}; a short one: {}", short.status());
    Some(Finding::likely(Diagnosis::RequestHeadTooLarge).detail(detail))
}

/// Whether the answer shows that the upgrade arrived: without it there is another.
fn arrives(attempt: &Attempt, answer: &Answer) -> Option<Finding> {
    let without = attempt.answer_to(Variation::WithoutUpgrade)?.as_ref().ok()?;
    let ambiguous = matches!(answer.status().as_u16(), 200..=299 | 400 | 404 | 422);
    // A hop that failed in between gives no answer of the origin's.
    let comparable = !without.status().is_server_error() && !without.status().is_redirection();
    // Words differ by chance, if they are no more than a page.
    let differs = without.status() != answer.status()
        || answer.words().is_some() && !answer.is_html() && !without.says_the_same(answer);
    (ambiguous && comparable && differs).then(|| {
        let detail = format!(
            "{}; without: {}",
            answer.status_and_words(),
            without.status_and_words()
        );
        Finding::likely(Diagnosis::HandshakeRefused).detail(detail)
    })
}
