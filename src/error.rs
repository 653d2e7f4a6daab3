//! Floor 4: a roof over the errors of the floors below: in which phase, on which side, and what.
//!
//! Used from here upwards only; each module below has an error of its own.

use std::fmt;
use std::io;
use std::time::Duration;

use http::StatusCode;

use crate::connect::{AttemptOutcome, Attempts, ConnectError, Shortage};
use crate::handshake::BadSwitch;
use crate::http1::{ChunkedError, HeadError};
use crate::side::Side;
use crate::telemetry;
use crate::tunnel::{Traffic, TunnelError};

/// A step of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Steps (1) to (3): the client's request head.
    RequestHead,
    /// Step (5): the connection to the upstream.
    Connect,
    /// Step (6): the request on its way upstream.
    Request,
    /// Steps (6) and (7): the head of the answer.
    ResponseHead,
    /// The answer on its way to the client: a refusal, a declined upgrade, or the 101.
    Response,
    /// Step (8).
    Tunnel,
}

impl Phase {
    /// In a word, for logs and metrics: `request-head`, `connect`, `request`, `response-head`, `response`, `tunnel`. None of
    /// them changes in a minor version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Phase::RequestHead => "request-head",
            Phase::Connect => "connect",
            Phase::Request => "request",
            Phase::ResponseHead => "response-head",
            Phase::Response => "response",
            Phase::Tunnel => "tunnel",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::RequestHead => "request head",
            Phase::Connect => "connect",
            Phase::Request => "request",
            Phase::ResponseHead => "response head",
            Phase::Response => "response",
            Phase::Tunnel => "tunnel",
        })
    }
}

/// Why serving a connection has failed.
///
/// Its message is that of the [`Cause`], whole: nothing below it in the chain of sources is said twice.
#[derive(Debug)]
pub struct Error {
    phase: Phase,
    side: Side,
    cause: Cause,
    /// Nothing of a request has been sent.
    is_unsent: bool,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

/// What has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The stream.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No upstream connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The deadline of the phase has passed.
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
    /// The side has closed its connection, or its write side, before its part was done.
    #[error("the connection was closed before it was complete")]
    Closed,
    /// The upstream has closed its connection within the head of its answer.
    #[error("the connection was closed within the head of the answer")]
    HeadCutShort,
    /// The upstream has sent bytes before it was asked (CVE-2026-1642).
    #[error("bytes arrived before the request was sent")]
    TalksFirst,
    /// The upstream speaks TLS, and was spoken to in plain text.
    #[error("the upstream speaks TLS here: use https:// or wss:// for it")]
    SpeaksTls,
    /// The upstream has broken off TLS after the handshake: it wants a client certificate, as a rule.
    #[error("{error}. {hint}")]
    Tls {
        /// What has failed.
        error: io::Error,
        /// What to change.
        hint: &'static str,
    },
    /// The upstream's head is malformed, or too large.
    #[error("the response head is invalid: {0}")]
    Head(HeadError),
    /// The upstream's answer is no switch, though it says so, or cannot be relayed.
    #[error(transparent)]
    Switch(#[from] BadSwitch),
    /// More interim responses than anyone needs.
    #[error("too many interim responses")]
    TooManyInterim,
    /// A chunked body is malformed.
    #[error("the body is invalid: {0}")]
    Body(ChunkedError),
    /// A request's body is larger than this many bytes, the most that it may have.
    #[error("it is larger than the limit of {0} bytes")]
    BodyTooLarge(u64),
    /// The tunnel has ended with an error.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
}

impl From<ChunkedError> for Cause {
    fn from(error: ChunkedError) -> Self {
        Cause::Body(error)
    }
}

impl From<HeadError> for Cause {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Tls => Cause::SpeaksTls,
            error => Cause::Head(error),
        }
    }
}

impl Cause {
    /// In a word, for logs and metrics; none of them changes in a minor version.
    ///
    /// Of a stream `reset` (also where bytes met a connection that was closed already), `timed-out`, the name of a
    /// [`Shortage`] or `io`; `timed-out`,
    /// `closed`, `head-cut-short`, `talks-first`, `speaks-tls`, `no-tls`, `too-many-interim`, `invalid-body`, `body-too-large`; else the name of
    /// the [`ConnectError`], [`HeadError`] or [`BadSwitch`].
    pub fn name(&self) -> &'static str {
        match self {
            Cause::Io(error) => name_of(error),
            Cause::Connect(error) => error.name(),
            Cause::TimedOut(_) => "timed-out",
            Cause::Closed => "closed",
            Cause::HeadCutShort => "head-cut-short",
            Cause::TalksFirst => "talks-first",
            Cause::SpeaksTls => "speaks-tls",
            Cause::Tls { .. } => "no-tls",
            Cause::Head(error) => error.name(),
            Cause::Switch(bad) => bad.name(),
            Cause::TooManyInterim => "too-many-interim",
            Cause::Body(_) => "invalid-body",
            Cause::BodyTooLarge(_) => "body-too-large",
            Cause::Tunnel(error) => name_of(error.io_error()),
        }
    }

    /// What this host lacks, if that is what has failed.
    pub fn shortage(&self) -> Option<Shortage> {
        match self {
            Cause::Connect(error) => error.shortage(),
            Cause::Io(error) => Shortage::of(error),
            _ => None,
        }
    }

    /// What the error of an upstream's stream means.
    pub(crate) fn of_upstream(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return Cause::Closed;
        }
        #[cfg(feature = "rustls")]
        if let Some(failure) = crate::tls::TlsFailure::of(&source) {
            let hint = failure.hint();
            return Cause::Tls { error: source, hint };
        }
        // An HTTP/2 upstream's stream judges the heads of answers itself.
        let inner = source.get_ref();
        if let Some(bad) = inner.and_then(|inner| inner.downcast_ref::<BadSwitch>()) {
            return Cause::Switch(*bad);
        }
        Cause::Io(source)
    }
}

/// Reports a tunnel's failure to those who observe the crate.
#[cfg(feature = "hyper")]
pub(crate) fn observe_failed_tunnel(error: &TunnelError) {
    telemetry::failed(Phase::Tunnel.name(), error.side(), name_of(error.io_error()));
}

fn name_of(error: &io::Error) -> &'static str {
    if let Some(shortage) = Shortage::of(error) {
        return shortage.name();
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            "reset"
        }
        io::ErrorKind::TimedOut => "timed-out",
        _ => "io",
    }
}

impl Error {
    pub(crate) fn new(phase: Phase, side: Side, cause: impl Into<Cause>) -> Self {
        Error {
            phase,
            side,
            cause: cause.into(),
            is_unsent: phase == Phase::Connect,
        }
    }

    /// Of an upstream to which nothing of the request was sent, although there was a connection.
    pub(crate) fn unsent(cause: Cause) -> Self {
        Error {
            is_unsent: true,
            ..Error::new(Phase::Request, Side::Upstream, cause)
        }
    }

    /// Whether the upstream cannot have received anything of the request, which may go to another whatever it asks for (RFC 9110,
    /// section 9.2.2).
    pub(crate) fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    /// Reports it to those who observe the crate: where it has ended the service of a request or of a tunnel.
    pub(crate) fn observed(&self) -> &Self {
        telemetry::failed(self.phase.name(), self.side, self.cause.name());
        self
    }

    /// The step of the walk in which it failed.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The side that failed: the one that was slow, wrong, or gone.
    pub fn side(&self) -> Side {
        self.side
    }

    /// What has failed.
    pub fn reason(&self) -> &Cause {
        &self.cause
    }

    /// What the tunnel had moved when it failed.
    pub fn traffic(&self) -> Option<&Traffic> {
        match &self.cause {
            Cause::Tunnel(error) => Some(error.traffic()),
            _ => None,
        }
    }

    /// What the client is answered: 504 for an upstream that is too slow, 502 for one that is wrong, 503 where all are
    /// full or this host lacks what a connection needs ([`Cause::shortage`]), 408, 413 and 400 for a request body of the
    /// client's own that is slow, too large, or wrong, and nothing where an answer is under way already or the client is gone.
    pub fn status(&self) -> Option<StatusCode> {
        match (self.phase, self.side, &self.cause) {
            (Phase::Connect | Phase::Request | Phase::ResponseHead, Side::Upstream, cause) => {
                Some(match cause {
                    Cause::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
                    Cause::Connect(error) if error.is_for_time() => StatusCode::GATEWAY_TIMEOUT,
                    Cause::Connect(ConnectError::Full) => StatusCode::SERVICE_UNAVAILABLE,
                    cause if cause.shortage().is_some() => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::BAD_GATEWAY,
                })
            }
            (Phase::Request, Side::Downstream, Cause::TimedOut(_)) => Some(StatusCode::REQUEST_TIMEOUT),
            (Phase::Request, Side::Downstream, Cause::BodyTooLarge(_)) => Some(StatusCode::PAYLOAD_TOO_LARGE),
            (Phase::Request, Side::Downstream, Cause::Body(_)) => Some(StatusCode::BAD_REQUEST),
            _ => None,
        }
    }

    /// Reports to the upstream that was asked. Returns whether to ask another.
    pub(crate) fn report_to(&self, attempts: &Attempts) -> bool {
        match &self.cause {
            Cause::Connect(error) if self.side == Side::Upstream => attempts.end_unconnected(error),
            cause => attempts.end_because(self.outcome(), cause.name(), cause),
        }
    }

    /// What it says of the upstream that was asked.
    pub(crate) fn outcome(&self) -> AttemptOutcome {
        match &self.cause {
            _ if self.side == Side::Downstream => AttemptOutcome::GivenUp,
            #[cfg(feature = "http2")]
            Cause::Io(error) if crate::http2::is_unprocessed(error) => AttemptOutcome::Stale,
            Cause::Io(error) => Shortage::of(error).map_or(AttemptOutcome::Failed, AttemptOutcome::Shortage),
            Cause::Connect(error) => error.outcome(),
            Cause::TimedOut(_) => AttemptOutcome::TimedOut,
            Cause::Closed | Cause::HeadCutShort | Cause::Tls { .. } => AttemptOutcome::Failed,
            _ => AttemptOutcome::Invalid,
        }
    }

    /// Whether a deadline has passed.
    pub(crate) fn is_deadline(&self) -> bool {
        matches!(self.cause, Cause::TimedOut(_))
    }

    /// Whether no upstream was asked, because there is none (any more).
    pub(crate) fn is_exhaustion(&self) -> bool {
        matches!(&self.cause, Cause::Connect(error) if error.is_exhaustion())
    }

    /// The text of an answer to the client, with a line feed at its end: no address is in it, and nothing that the upstream has said. It is
    /// what `Unanswered::refuse` of a gateway sends, for an answer of the caller's own.
    #[must_use]
    pub fn public_text(&self) -> String {
        let reason = match (&self.cause, self.phase) {
            (Cause::TimedOut(limit), Phase::Request) if self.side == Side::Downstream => {
                format!("nothing of the request's body arrived within {limit:?}")
            }
            (cause, Phase::Request) if self.side == Side::Downstream => {
                format!("the request's body: {cause}")
            }
            (cause, _) if cause.shortage().is_some() => {
                "this proxy lacks the resources for another connection".to_owned()
            }
            (Cause::Connect(ConnectError::Tls { .. }) | Cause::Tls { .. }, _) => {
                "the upstream can be reached, but no TLS can be spoken with it".to_owned()
            }
            (Cause::SpeaksTls, _) => {
                "the upstream speaks TLS, and the proxy is set up to speak plain HTTP to it".to_owned()
            }
            (Cause::Connect(ConnectError::Full), _) => {
                "every upstream has as many tunnels as it may".to_owned()
            }
            (Cause::Connect(_) | Cause::Io(_), Phase::Connect) => "the upstream cannot be reached".to_owned(),
            (Cause::TimedOut(limit), Phase::Connect) => {
                format!("the upstream did not accept within {limit:?}")
            }
            (Cause::TimedOut(limit), _) => format!("the upstream did not answer within {limit:?}"),
            (Cause::Closed | Cause::Io(_), _) => {
                "the upstream closed the connection without an answer".to_owned()
            }
            (Cause::HeadCutShort, _) => {
                "the upstream closed the connection within the head of its answer".to_owned()
            }
            (Cause::Switch(bad), _) => {
                format!("the upstream's answer is not acceptable: {bad}\n{}", bad.hint())
            }
            (Cause::Head(error), _) => {
                format!(
                    "the upstream's answer is not acceptable: {error}\n{}",
                    error.hint()
                )
            }
            (cause, _) => format!("the upstream's answer is not acceptable: {cause}"),
        };
        format!("{reason}\n")
    }
}
