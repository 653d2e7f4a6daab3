//! The series of one URL: the handshake; what follows a switch; and, where there is none, variations to find out on what it
//! depends.

use http::header::{CONTENT_ENCODING, SEC_WEBSOCKET_EXTENSIONS, SERVER};
use http::request::Parts;
use http::{StatusCode, Version};
use switchover::Side;
use switchover::diagnose::{Attempt, Failure, Variation};

use super::clock::Clock;
use super::exchange::{Received, ask, bytes_of};
use super::flags::Flags;
use super::frames::Frames;
use super::network::Network;
use super::url::Url;
use super::{protocol, request, talk};

/// What is known of one URL.
pub(crate) struct Examination {
    pub(crate) attempt: Attempt,
    /// The head of the answer as it came; empty where there is none.
    pub(crate) head: Vec<u8>,
    /// How much of the body was read.
    pub(crate) body_bytes: usize,
    pub(crate) body_is_whole: bool,
    /// What is worth a line beside it.
    pub(crate) notes: Vec<String>,
}

impl Examination {
    fn failed(attempt: Attempt, failure: Failure) -> Examination {
        Examination {
            attempt: attempt.failed(failure),
            head: Vec::new(),
            body_bytes: 0,
            body_is_whole: true,
            notes: Vec::new(),
        }
    }

    fn answered(attempt: Attempt, received: &Received) -> Examination {
        Examination {
            attempt: attempt.answered(received.answer.clone()),
            head: received.head.clone(),
            body_bytes: received.rest.len(),
            body_is_whole: received.whole,
            notes: Vec::new(),
        }
    }
}

/// Asks, with one thing changed if need be. Where and with what is the same each time.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) url: &'a Url,
    pub(crate) network: &'a Network,
    pub(crate) clock: Clock,
}

pub(crate) async fn of(asking: Asking<'_>, flags: &Flags) -> Examination {
    let Asking { url, network, clock } = asking;
    let sent = request::handshake(url, flags);
    let attempt = Attempt::new(sent.clone());
    let mut stream = match network.connect(url, clock).await {
        Ok(stream) => stream,
        Err(failure) => return Examination::failed(attempt, failure),
    };
    let received = match ask(&mut stream, &bytes_of(&sent), clock.step()).await {
        Ok(received) => received,
        Err(failure) => {
            let mut examination = Examination::failed(attempt, failure);
            asking.vary(&mut examination, &FOR_NO_ANSWER).await;
            return examination;
        }
    };
    let head = received.answer.head().clone();
    let is_doctor = protocol::is_doctor(&head);
    let mut examination = Examination::answered(attempt, &received);
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        if let Some(arrived) = is_doctor.then(|| protocol::arrived(&received.rest)).flatten() {
            // Nothing is left to be supposed.
            examination.attempt = examination.attempt.arrived(arrived);
            return examination;
        }
        drop(stream);
        asking.vary(&mut examination, &FOR_ANOTHER_ANSWER).await;
        asking.in_http_1_0(&mut examination).await;
        return examination;
    }
    if !examination.attempt.is_switched() {
        return examination;
    }
    let compressed = head.headers.contains_key(SEC_WEBSOCKET_EXTENSIONS);
    let mut frames = Frames::new(stream, received.rest, Side::Upstream, compressed);
    let (conversation, arrived) = talk::talk(&mut frames, is_doctor, clock, flags.idle).await;
    let mut attempt = examination.attempt.conversation(conversation);
    if let Some(arrived) = arrived {
        attempt = attempt.arrived(arrived);
    }
    Examination {
        attempt,
        ..examination
    }
}

const FOR_NO_ANSWER: [Variation; 2] = [Variation::WithoutUpgrade, Variation::ShortHead];

const FOR_ANOTHER_ANSWER: [Variation; 6] = [
    Variation::WithoutUpgrade,
    Variation::WithoutOrigin,
    Variation::OwnOrigin,
    Variation::WithoutSubprotocol,
    Variation::HostPort,
    Variation::ShortHead,
];

/// Of a URL at which the upgrade works: what is seen further out where a hop loses it, or changes Host.
pub(crate) const OF_THE_HOP_WITHIN: [Variation; 2] = [Variation::WithoutUpgrade, Variation::HostPort];

impl Asking<'_> {
    pub(crate) async fn vary(self, examination: &mut Examination, variations: &[Variation]) {
        let sent = examination.attempt.request().clone();
        for variation in variations {
            let Some(varied) = request::varied(&sent, *variation, self.url) else {
                continue;
            };
            if self.clock.is_over() {
                let note = "the deadline of the examination has passed: not everything was tried";
                return examination.notes.push(note.to_owned());
            }
            let asked = self.once(&bytes_of(&varied)).await;
            let said = request::words_of(*variation);
            examination.notes.push(format!("{said}: {}", summary(&asked)));
            let attempt = examination.attempt.clone();
            examination.attempt = attempt.varied(*variation, asked.map(|received| received.answer));
        }
    }

    async fn in_http_1_0(self, examination: &mut Examination) {
        if self.clock.is_over() {
            return;
        }
        let asked = self.once(&in_http_1_0(examination.attempt.request())).await;
        examination
            .notes
            .push(format!("in HTTP/1.0: {}", summary(&asked)));
    }

    async fn once(self, request: &[u8]) -> Result<Received, Failure> {
        let mut stream = self.network.connect(self.url, self.clock).await?;
        ask(&mut stream, request, self.clock.step()).await
    }
}

fn in_http_1_0(sent: &Parts) -> Vec<u8> {
    let mut bytes = bytes_of(sent);
    if let Some(end) = bytes.iter().position(|byte| *byte == b'\r') {
        bytes[end - 1] = b'0';
    }
    bytes
}

/// Of an answer: its status, what it says in its own words, and what has sent it.
fn summary(asked: &Result<Received, Failure>) -> String {
    let answer = match asked {
        Ok(received) => &received.answer,
        Err(failure) => return format!("no answer: {failure}"),
    };
    let head = answer.head();
    let version = match head.version {
        Version::HTTP_10 => " in HTTP/1.0",
        _ => "",
    };
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let server = head.headers.get(SERVER).map(|value| format!(", {}", text(value)));
    let coded = head
        .headers
        .get(CONTENT_ENCODING)
        .map(|value| format!(", {}", text(value)));
    let words = answer.words().map(|words| format!(", {words}"));
    let (server, coded, words) = (
        server.unwrap_or_default(),
        coded.unwrap_or_default(),
        words.unwrap_or_default(),
    );
    format!("{}{version}{server}{coded}{words}", head.status)
}
