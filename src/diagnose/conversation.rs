//! What the frames after a switch show, and how the connection ended.

use std::time::Duration;

use super::{Diagnosis, Finding, idle};
use crate::websocket::{CloseCode, FrameError};

/// Silence that is shorter than this is no idle time: nobody has a timeout like that.
const SHORTEST_IDLE: Duration = Duration::from_millis(900);

/// What is known of a connection after the 101. What was not tried is left out.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    unprompted_frame: bool,
    greeting: Option<bool>,
    first_ping: Option<bool>,
    later_ping: Option<bool>,
    short: Option<Echo>,
    large: Option<Echo>,
    half_close: Option<bool>,
    invalid: Option<FrameError>,
    flood: Option<(u64, Duration)>,
    close: Option<bool>,
    end: Option<End>,
}

/// What came back of a message that the origin echoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Echo {
    /// The same.
    Same,
    /// Something else.
    Changed,
    /// Nothing in time.
    Missing,
}

/// How a connection ended that this side has not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// How.
    pub ending: Ending,
    /// Since the 101.
    pub after: Duration,
    /// How long neither side had sent anything before it.
    pub silent: Duration,
}

/// What the end looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// A Close frame, with its code where it has one.
    Closed(Option<CloseCode>),
    /// The end of the stream, without a Close frame.
    Ended,
    /// A reset.
    Reset,
    /// Nothing: a ping is answered no longer, as where a firewall has forgotten the connection.
    Vanished,
}

impl Conversation {
    /// A frame of the origin's own accord arrived, neither an answer nor an echo. Default: none.
    #[must_use]
    pub fn unprompted_frame(mut self) -> Self {
        self.unprompted_frame = true;
        self
    }

    /// Whether the frame arrived that the origin is known to send at once, beside its 101.
    #[must_use]
    pub fn greeting(mut self, arrived: bool) -> Self {
        self.greeting = Some(arrived);
        self
    }

    /// Whether the first ping was answered, sent at once after the 101.
    #[must_use]
    pub fn first_ping(mut self, answered: bool) -> Self {
        self.first_ping = Some(answered);
        self
    }

    /// Whether a later ping was answered.
    #[must_use]
    pub fn later_ping(mut self, answered: bool) -> Self {
        self.later_ping = Some(answered);
        self
    }

    /// What came back of a short message, from an origin that echoes.
    #[must_use]
    pub fn short_message(mut self, echo: Echo) -> Self {
        self.short = Some(echo);
        self
    }

    /// What came back of a message larger than the usual buffers, 64 KiB, from an origin that echoes.
    #[must_use]
    pub fn large_message(mut self, echo: Echo) -> Self {
        self.large = Some(echo);
        self
    }

    /// Whether bytes of the origin still arrived after this side had ended its own direction, from an origin that goes on
    /// then.
    #[must_use]
    pub fn half_close(mut self, passed: bool) -> Self {
        self.half_close = Some(passed);
        self
    }

    /// What came is not a frame that a server may send.
    #[must_use]
    pub fn invalid(mut self, error: FrameError) -> Self {
        self.invalid = Some(error);
        self
    }

    /// Frames came so fast, or so many, that the attempt was given up: how many within which time.
    #[must_use]
    pub fn flooded(mut self, frames: u64, within: Duration) -> Self {
        self.flood = Some((frames, within));
        self
    }

    /// Whether this side's Close frame was answered in time, by a Close frame or by the end of the connection.
    #[must_use]
    pub fn close(mut self, answered: bool) -> Self {
        self.close = Some(answered);
        self
    }

    /// The connection ended, and not because this side had closed it.
    #[must_use]
    pub fn ended(mut self, end: End) -> Self {
        self.end = Some(end);
        self
    }

    /// How it ended.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end
    }

    pub(super) fn judge(&self, findings: &mut Vec<Finding>) {
        if let Some(error) = self.invalid {
            findings.push(Finding::certain(Diagnosis::FramesInvalid).detail(error));
            return;
        }
        if let Some((frames, within)) = self.flood {
            let detail = format!("{frames} frames in {:.1} s", within.as_secs_f64());
            findings.push(Finding::certain(Diagnosis::FramesWithoutEnd).detail(detail));
            return;
        }
        if self.nothing_passes() {
            findings.push(match self.end {
                Some(end) => end.at_once(),
                None => Finding::certain(Diagnosis::NoFrames),
            });
            return;
        }
        self.frames(findings);
        if self.close == Some(false) {
            findings.push(Finding::certain(Diagnosis::CloseUnanswered));
        }
        if self.half_close == Some(false) {
            findings.push(Finding::certain(Diagnosis::HalfCloseEnds));
        }
        if let Some(end) = self.end {
            findings.push(end.later());
        }
    }

    /// Something was tried, and no frame came at all.
    fn nothing_passes(&self) -> bool {
        let waits = [self.greeting, self.first_ping, self.later_ping];
        let echoes = [self.short, self.large];
        let tried = waits.iter().any(Option::is_some) || echoes.iter().any(Option::is_some);
        let came = self.unprompted_frame
            || waits.contains(&Some(true))
            || echoes.iter().flatten().any(|echo| *echo != Echo::Missing);
        tried && !came
    }

    fn frames(&self, findings: &mut Vec<Finding>) {
        if self.greeting == Some(false) {
            let detail = "what the origin had sent beside the 101";
            findings.push(Finding::certain(Diagnosis::FirstFrameLost).detail(detail));
        }
        match (self.first_ping, self.later_ping) {
            (Some(false), Some(true)) => {
                let detail = "the ping that was sent at once after the 101";
                findings.push(Finding::certain(Diagnosis::FirstFrameLost).detail(detail));
            }
            // It ended while the answer could still come.
            (Some(false), None) if self.end.is_some() => {}
            (Some(false), _) | (_, Some(false)) => {
                findings.push(Finding::certain(Diagnosis::PingsUnanswered))
            }
            _ => {}
        }
        match (self.short, self.large) {
            (Some(Echo::Changed), _) => findings.push(Finding::certain(Diagnosis::MessageAltered)),
            (_, Some(Echo::Changed)) => {
                findings.push(Finding::certain(Diagnosis::MessageAltered).detail("one of 70 KiB"));
            }
            (Some(Echo::Missing), _) => {
                findings
                    .push(Finding::certain(Diagnosis::MessageAltered).detail("it does not come back at all"));
            }
            (_, Some(Echo::Missing)) => findings.push(Finding::certain(Diagnosis::LargeMessageLost)),
            _ => {}
        }
    }
}

impl End {
    /// An end of this kind, so long after the 101, when neither side had sent anything for so long.
    #[must_use]
    pub const fn new(ending: Ending, after: Duration, silent: Duration) -> Self {
        End {
            ending,
            after,
            silent,
        }
    }

    /// Where no frame had come before it.
    fn at_once(self) -> Finding {
        let detail = format!("{}, {:.1} s after the 101", self.ending, self.after.as_secs_f64());
        Finding::certain(Diagnosis::ClosedAfterSwitch).detail(detail)
    }

    /// Where frames had passed before it.
    fn later(self) -> Finding {
        let silence = self.silent.as_secs_f64();
        match self.ending {
            // An application that closes by itself says so at once; a timeout is what comes after silence.
            Ending::Closed(code) if self.silent < SHORTEST_IDLE || code != Some(CloseCode::GOING_AWAY) => {
                let detail = format!("{}, after {silence:.0} s of silence", self.ending);
                Finding::certain(Diagnosis::ClosedByPeer).detail(detail)
            }
            _ if self.silent < SHORTEST_IDLE => {
                let detail = format!("{}, {:.1} s after the 101", self.ending, self.after.as_secs_f64());
                Finding::certain(Diagnosis::ConnectionLost).detail(detail)
            }
            _ => {
                let candidates = idle::candidates(self.silent);
                let known = match candidates.is_empty() {
                    true => "no default that is known; somebody has set it".to_owned(),
                    false => format!("as by default {}", candidates.join("; ")),
                };
                let detail = format!("{} after {silence:.0} s: {known}", self.ending);
                Finding::certain(Diagnosis::IdleTimeout).detail(detail)
            }
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Closed(Some(code)) => write!(f, "a Close frame with {code}"),
            Ending::Closed(None) => f.write_str("a Close frame without a code"),
            Ending::Ended => f.write_str("the end of the stream"),
            Ending::Reset => f.write_str("a reset"),
            Ending::Vanished => f.write_str("no answer any more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(conversation: Conversation) -> Vec<&'static str> {
        let mut findings = Vec::new();
        conversation.judge(&mut findings);
        findings.iter().map(Finding::name).collect()
    }

    fn end(ending: Ending, after: u64, silent: u64) -> End {
        let seconds = Duration::from_secs;
        End {
            ending,
            after: seconds(after),
            silent: seconds(silent),
        }
    }

    #[test]
    fn after_a_switch() {
        let new = Conversation::default;
        let healthy = || {
            let pinged = new().greeting(true).first_ping(true).later_ping(true);
            pinged
                .short_message(Echo::Same)
                .large_message(Echo::Same)
                .half_close(true)
        };
        let cases: Vec<(&str, Conversation, &[&str])> = vec![
            ("nothing was tried", new(), &[]),
            ("all is well", healthy(), &[]),
            ("a ping alone, answered", new().first_ping(true), &[]),
            (
                "no pong at all",
                new().first_ping(false).later_ping(false),
                &["no-frames"],
            ),
            (
                "no greeting, no pong, no echo",
                new()
                    .greeting(false)
                    .first_ping(false)
                    .short_message(Echo::Missing),
                &["no-frames"],
            ),
            (
                "ended at once",
                new().first_ping(false).ended(end(Ending::Ended, 0, 0)),
                &["closed-after-switch"],
            ),
            (
                "closed with 1008 at once",
                new()
                    .first_ping(false)
                    .ended(end(Ending::Closed(Some(CloseCode(1008))), 0, 0)),
                &["closed-after-switch"],
            ),
            (
                "closed by the application behind a greeting",
                new().unprompted_frame().first_ping(false).ended(end(
                    Ending::Closed(Some(CloseCode(4001))),
                    0,
                    0,
                )),
                &["closed-by-peer"],
            ),
            (
                "pings are not answered, and an end later",
                new()
                    .unprompted_frame()
                    .first_ping(false)
                    .later_ping(false)
                    .ended(end(Ending::Ended, 61, 60)),
                &["pings-unanswered", "idle-timeout"],
            ),
            (
                "no pong, but other frames",
                new().first_ping(false).later_ping(false).unprompted_frame(),
                &["pings-unanswered"],
            ),
            ("no greeting", healthy().greeting(false), &["first-frame-lost"]),
            (
                "no first pong",
                healthy().first_ping(false),
                &["first-frame-lost"],
            ),
            (
                "no pong, but echoes",
                healthy().first_ping(false).later_ping(false),
                &["pings-unanswered"],
            ),
            (
                "no later pong",
                healthy().later_ping(false),
                &["pings-unanswered"],
            ),
            (
                "another echo",
                healthy().short_message(Echo::Changed),
                &["message-altered"],
            ),
            (
                "another large echo",
                healthy().large_message(Echo::Changed),
                &["message-altered"],
            ),
            (
                "no large echo",
                healthy().large_message(Echo::Missing),
                &["large-message-lost"],
            ),
            (
                "frames without end",
                healthy()
                    .first_ping(false)
                    .flooded(10_000, Duration::from_secs(1)),
                &["frames-without-end"],
            ),
            (
                "no answer to a Close",
                healthy().close(false),
                &["close-unanswered"],
            ),
            ("an answer to a Close", healthy().close(true), &[]),
            (
                "both ends at once",
                healthy().half_close(false),
                &["half-close-ends"],
            ),
            (
                "masked",
                healthy().invalid(FrameError::MaskForbidden),
                &["frames-invalid"],
            ),
            (
                "ended when idle",
                healthy().ended(end(Ending::Ended, 61, 60)),
                &["idle-timeout"],
            ),
            (
                "reset when idle",
                healthy().ended(end(Ending::Reset, 61, 60)),
                &["idle-timeout"],
            ),
            (
                "going away when idle",
                healthy().ended(end(Ending::Closed(Some(CloseCode::GOING_AWAY)), 61, 60)),
                &["idle-timeout"],
            ),
            (
                "ended in use",
                healthy().ended(end(Ending::Ended, 30, 0)),
                &["connection-lost"],
            ),
            (
                "closed by the application",
                healthy().ended(end(Ending::Closed(Some(CloseCode(4000))), 61, 60)),
                &["closed-by-peer"],
            ),
        ];
        for (stimulus, conversation, expected) in cases {
            assert_eq!(names(conversation), expected, "{stimulus}");
        }
    }

    #[test]
    fn the_end_after_silence_names_who_has_such_a_default() {
        let mut findings = Vec::new();
        let conversation = Conversation::default()
            .first_ping(true)
            .ended(end(Ending::Ended, 62, 60));
        conversation.judge(&mut findings);
        assert!(
            findings[0].sentence().contains("proxy_read_timeout"),
            "{}",
            findings[0]
        );
    }
}
