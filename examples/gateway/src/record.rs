//! One line of the access log: a JSON object in ASCII. What has no value has no field.

use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;
use switchover::connect::{Attempt, AttemptOutcome};
use switchover::handshake::Rejection;
use switchover::tunnel::Traffic;
use switchover::websocket::OpCode;
use switchover::{Cause, Error, Side};

use super::{decimal, moment};

/// The most bytes of a text that a client or an upstream has written.
pub(crate) const MOST_OF_A_TEXT: usize = 4096;

const OPCODES: [(&str, OpCode); 5] = [
    ("text", OpCode::Text),
    ("binary", OpCode::Binary),
    ("close", OpCode::Close),
    ("ping", OpCode::Ping),
    ("pong", OpCode::Pong),
];

pub(crate) struct Record(String);

/// Why it has not gone as it was meant to.
pub(crate) struct Why {
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
    /// The side that has failed, and in which phase.
    pub(crate) place: Option<(Side, &'static str)>,
}

impl Why {
    /// Why an ordinary request that asks for an upgrade is one. It is answered, but its client may wait for a switch.
    pub(crate) fn not_allowed() -> Why {
        Why {
            reason: Rejection::ProtocolNotAllowed.name(),
            detail: "relayed without its upgrade: --allow-upgrade does not name the protocol".to_owned(),
            place: None,
        }
    }

    pub(crate) fn given_up() -> Why {
        Why {
            reason: "given-up",
            detail: "the client has left, or the gateway has ended".to_owned(),
            place: None,
        }
    }
}

impl From<&Rejection> for Why {
    fn from(rejection: &Rejection) -> Self {
        Why {
            reason: rejection.name(),
            detail: format!("{rejection}. {}", rejection.hint()),
            place: None,
        }
    }
}

impl From<&Error> for Why {
    fn from(error: &Error) -> Self {
        let detail = match error.reason() {
            Cause::Tunnel(inner) => format!("{inner}: {}", inner.io_error()),
            cause => cause.to_string(),
        };
        Why {
            reason: error.reason().name(),
            detail,
            place: Some((error.side(), error.phase().name())),
        }
    }
}

impl Record {
    pub(crate) fn new(event: &str) -> Record {
        let mut line = String::with_capacity(768);
        line.push_str("{\"time\":\"");
        moment::write(SystemTime::now(), &mut line);
        line.push('"');
        Record(line).text("event", event)
    }

    pub(crate) fn text(mut self, name: &str, value: &str) -> Record {
        if !value.is_empty() {
            self.name(name);
            quote(&mut self.0, value);
        }
        self
    }

    pub(crate) fn display(mut self, name: &str, value: Option<impl Display>) -> Record {
        let Some(value) = value else { return self };
        let before = self.0.len();
        self.name(name);
        self.0.push('"');
        let begin = self.0.len();
        let _ = write!(self.0, "{value}");
        let written = &self.0[begin..];
        if written.is_empty() {
            self.0.truncate(before);
        } else if is_plain(written) {
            self.0.push('"');
        } else {
            let written = self.0.split_off(begin);
            self.0.truncate(before);
            self = self.text(name, &written);
        }
        self
    }

    pub(crate) fn address(mut self, name: &str, address: SocketAddr) -> Record {
        self.name(name);
        self.0.push('"');
        decimal::push_address(address, &mut self.0);
        self.0.push('"');
        self
    }

    pub(crate) fn number(mut self, name: &str, value: Option<u64>) -> Record {
        if let Some(value) = value {
            self.name(name);
            decimal::push(value, &mut self.0);
        }
        self
    }

    pub(crate) fn milliseconds(mut self, name: &str, value: Option<Duration>) -> Record {
        if let Some(value) = value {
            self.name(name);
            let microseconds = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
            decimal::push_thousandths(microseconds, &mut self.0);
        }
        self
    }

    pub(crate) fn status(self, status: Option<StatusCode>) -> Record {
        self.number("status", status.map(|status| status.as_u16().into()))
    }

    pub(crate) fn why(self, why: Option<Why>) -> Record {
        let Some(why) = why else { return self };
        let record = self.text("reason", why.reason).text("detail", &why.detail);
        match why.place {
            Some((side, phase)) => record.display("side", Some(side)).text("phase", phase),
            None => record,
        }
    }

    pub(crate) fn took(self, since: Instant) -> Record {
        self.milliseconds("duration_ms", Some(since.elapsed()))
    }

    /// What was counted of the frames of a WebSocket, by the side that has sent them and by opcode.
    pub(crate) fn frames(mut self, traffic: Option<&Traffic>) -> Record {
        let sides = [Side::Downstream, Side::Upstream];
        let counted = |side| traffic.and_then(|traffic| traffic.frame_counts(side));
        if !sides
            .into_iter()
            .filter_map(counted)
            .any(|counts| counts.all_frames() > 0)
        {
            return self;
        }
        self.name("websocket");
        self.0.push('{');
        for side in sides {
            let counts = counted(side).unwrap_or_default();
            let trips = traffic
                .and_then(|traffic| traffic.round_trips(side))
                .unwrap_or_default();
            self.name(&side.to_string());
            self.0.push('{');
            for (name, opcode) in OPCODES {
                if counts.frames(opcode) > 0 {
                    self.name(name);
                    self.0.push('{');
                    self = self
                        .number("messages", Some(counts.messages(opcode)))
                        .number("frames", Some(counts.frames(opcode)))
                        .number("payload_bytes", Some(counts.payload_bytes(opcode)));
                    self.0.push('}');
                }
            }
            self = self
                .milliseconds("round_trip_ms", trips.last())
                .milliseconds("round_trip_smallest_ms", trips.smallest())
                .milliseconds("round_trip_mean_ms", trips.mean());
            self.0.push('}');
        }
        self.0.push('}');
        self
    }

    /// The upstreams in their order; and of the last one, which mostly is the only one, what is asked for most.
    pub(crate) fn tries(mut self, tries: &[Attempt]) -> Record {
        let Some(last) = tries.last() else { return self };
        self = self
            .text("server", last.upstream.as_deref().unwrap_or_default())
            .milliseconds("connect_ms", last.connected_after)
            .milliseconds("head_ms", last.took.filter(|_| is_answered(last)));
        self.name("servers");
        for (index, tried) in tries.iter().enumerate() {
            self.0.push(if index == 0 { '[' } else { ',' });
            self.0.push('{');
            let status = match tried.outcome {
                Some(AttemptOutcome::Answered(status)) => Some(status.as_u16().into()),
                _ => None,
            };
            self = self
                .text("name", tried.upstream.as_deref().unwrap_or_default())
                .text("outcome", tried.outcome.map_or("under-way", AttemptOutcome::name))
                .number("status", status)
                .text("reason", tried.reason.unwrap_or_default())
                .text("detail", tried.detail.as_deref().unwrap_or_default())
                .milliseconds("connect_ms", tried.connected_after)
                .milliseconds("took_ms", tried.took);
            self.0.push('}');
        }
        self.0.push(']');
        self
    }

    pub(crate) fn line(mut self) -> Vec<u8> {
        self.0.push_str("}\n");
        self.0.into_bytes()
    }

    fn name(&mut self, name: &str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }
}

fn is_answered(tried: &Attempt) -> bool {
    matches!(tried.outcome, Some(AttemptOutcome::Answered(_)))
}

/// Whether a text is a JSON string as it stands, and all of it.
pub(crate) fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    // Without a branch for each byte.
    text.len() <= MOST_OF_A_TEXT && text.bytes().fold(true, |all, byte| all & is_plain(byte))
}

/// A JSON string (RFC 8259, section 7). All that is not printable ASCII is escaped: a reader of the log in a terminal
/// must not be commanded by it.
fn quote(line: &mut String, text: &str) {
    line.push('"');
    if is_plain(text) {
        line.push_str(text);
        line.push('"');
        return;
    }
    let written = start_of(text, MOST_OF_A_TEXT);
    for character in written.chars() {
        match character {
            '"' | '\\' => line.extend(['\\', character]),
            ' '..='~' => line.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
    }
    if written.len() < text.len() {
        line.push_str("...");
    }
    line.push('"');
}

/// The first whole characters of a text, in at most so many bytes.
pub(crate) fn start_of(text: &str, most: usize) -> &str {
    let mut ends = (0..=most.min(text.len())).rev();
    let end = ends.find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

/// What is kept of a text that a line is made of later: no more than the line has, and a character by which it can be seen that there
/// was more.
pub(crate) fn kept(text: String) -> Box<str> {
    const LONGEST_CHARACTER: usize = 4;
    start_of(&text, MOST_OF_A_TEXT + LONGEST_CHARACTER).into()
}
