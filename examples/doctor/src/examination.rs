//! The series of one URL: the handshake; what follows a switch; and, where there is none, variations to tell what it depends
//! on.

use http::header::SERVER;
use http::request::Parts;
use http::{StatusCode, Version};
use switchover::Side;
use switchover::diagnose::{Attempt, Failure, Variation};

use super::evidence::shown;
use super::exchange::{Answer, ask, bytes_of};
use super::flags::Flags;
use super::frames::Frames;
use super::network::Network;
use super::url::Url;
use super::{protocol, request, talk};

/// What is known, and what is worth a line beside it.
pub(crate) async fn of(url: &Url, flags: &Flags, network: &Network) -> (Attempt, Vec<String>) {
    let sent = request::handshake(url, flags);
    let attempt = Attempt::new(sent.clone());
    let mut stream = match network.connect(url).await {
        Ok(stream) => stream,
        Err(failure) => return (attempt.failed(failure), Vec::new()),
    };
    let Answer { head, rest } = match ask(&mut stream, &bytes_of(&sent), flags.timeout).await {
        Ok(answer) => answer,
        Err(failure) => {
            let plain = request::varied(&sent, Variation::WithoutUpgrade, url).unwrap_or(sent);
            let asked = once(url, flags, network, &bytes_of(&plain)).await;
            let notes = vec![format!("without Upgrade: {}", told(&asked))];
            return (attempt.failed(failure), notes);
        }
    };
    let is_doctor = protocol::is_doctor(&head);
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        let arrived = is_doctor.then(|| protocol::arrived(&rest)).flatten();
        let mut attempt = attempt.answered(head, &rest);
        if let Some(arrived) = arrived {
            // Nothing is left to be guessed.
            return (attempt.arrived(arrived), Vec::new());
        }
        drop(stream);
        let mut notes = Vec::new();
        attempt = variations(attempt, url, flags, network, &mut notes).await;
        return (attempt, notes);
    }
    let compressed = head.headers.contains_key(http::header::SEC_WEBSOCKET_EXTENSIONS);
    let attempt = attempt.answered(head, b"");
    if !attempt.is_switched() {
        return (attempt, Vec::new());
    }
    let mut frames = Frames::new(stream, rest, Side::Upstream, compressed);
    let (conversation, arrived) = talk::talk(&mut frames, is_doctor, flags.timeout, flags.idle).await;
    let attempt = attempt.conversation(conversation);
    let attempt = match arrived {
        Some(arrived) => attempt.arrived(arrived),
        None => attempt,
    };
    (attempt, Vec::new())
}

async fn variations(
    mut attempt: Attempt,
    url: &Url,
    flags: &Flags,
    network: &Network,
    notes: &mut Vec<String>,
) -> Attempt {
    let sent = attempt.request().clone();
    for (variation, said) in [
        (Variation::WithoutUpgrade, "without Upgrade"),
        (Variation::WithoutOrigin, "without Origin"),
        (Variation::OwnOrigin, "with the site's own Origin"),
        (Variation::WithoutSubprotocol, "without subprotocols"),
    ] {
        let Some(varied) = request::varied(&sent, variation, url) else {
            continue;
        };
        let asked = once(url, flags, network, &bytes_of(&varied)).await;
        notes.push(format!("{said}: {}", told(&asked)));
        attempt = attempt.varied(variation, asked.map(|answer| answer.head.status));
    }
    let asked = once(url, flags, network, &in_http_1_0(&sent)).await;
    notes.push(format!("in HTTP/1.0: {}", told(&asked)));
    attempt
}

/// How a URL at which the upgrade works answers without one: what is seen further out where a hop has lost it.
pub(crate) async fn without_upgrade(
    attempt: Attempt,
    url: &Url,
    flags: &Flags,
    network: &Network,
) -> Attempt {
    let variation = Variation::WithoutUpgrade;
    let Some(varied) = request::varied(attempt.request(), variation, url) else {
        return attempt;
    };
    let asked = once(url, flags, network, &bytes_of(&varied)).await;
    attempt.varied(variation, asked.map(|answer| answer.head.status))
}

async fn once(url: &Url, flags: &Flags, network: &Network, request: &[u8]) -> Result<Answer, Failure> {
    let mut stream = network.connect(url).await?;
    ask(&mut stream, request, flags.timeout).await
}

fn in_http_1_0(sent: &Parts) -> Vec<u8> {
    let mut bytes = bytes_of(sent);
    if let Some(end) = bytes.iter().position(|byte| *byte == b'\r') {
        bytes[end - 1] = b'0';
    }
    bytes
}

fn told(asked: &Result<Answer, Failure>) -> String {
    let head = match asked {
        Ok(Answer { head, .. }) => head,
        Err(failure) => return format!("no answer ({failure:?})"),
    };
    let version = if head.version == Version::HTTP_10 {
        " in HTTP/1.0"
    } else {
        ""
    };
    let server = head
        .headers
        .get(SERVER)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let server = server
        .map(|server| format!(", {}", shown(&server)))
        .unwrap_or_default();
    format!("{}{version}{server}", head.status)
}
