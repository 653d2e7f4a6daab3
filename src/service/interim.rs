//! Interim responses are passed on (RFC 9110, section 15.2). The crate's own server of HTTP/2 takes them. hyper's server cannot send
//! them, so this file writes them beside it, between hyper's own messages, where the stream below it is the crate's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::{CONTENT_LENGTH, HeaderName};
use http::{HeaderMap, StatusCode, Version, response};

use super::failure::Failure;
use crate::error::Error;
use crate::handshake::Rejection;
use crate::header::hop_by_hop;
use crate::http1::encode_response;

/// The most bytes of interim responses that wait for the client.
const LIMIT: usize = 64 * 1024;

/// What the relay of one message shares with the stream under hyper.
#[derive(Debug, Default)]
pub(super) struct Exchange(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    interim: Vec<u8>,
    to: To,
    /// The client has been sent an interim response, or is about to be.
    passed_interim: bool,
    /// hyper has the response. A body that was dropped before was one of a response that was not taken.
    handed_over: bool,
    /// hyper has let go of the response's body: the response is complete once it is flushed.
    done: bool,
    /// What the client has done wrong with its request's body.
    client_failure: Option<Failure>,
    outcome: Outcome,
}

/// Who sends interim responses to the client.
#[derive(Debug, Default)]
enum To {
    /// The stream under hyper, beside hyper's own messages.
    #[default]
    Stream,
    /// The crate's own server of HTTP/2.
    #[cfg(feature = "http2")]
    Http2(crate::http2::InterimResponses),
    /// The client is out of reach but for hyper, which cannot.
    Nobody,
}

/// The status that the client is sent, and what it reports, if it is the proxy's own.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) status: Option<StatusCode>,
    pub(super) failure: Option<Arc<Error>>,
    pub(super) rejection: Option<Rejection>,
}

impl To {
    /// What the server of a request has put among its extensions.
    fn of(extensions: &http::Extensions) -> Self {
        #[cfg(feature = "http2")]
        if let Some(interim) = extensions.get::<crate::http2::InterimResponses>() {
            return To::Http2(interim.clone());
        }
        let _ = extensions;
        To::Nobody
    }
}

/// Where the interim responses to an upgrade go: to a client of the crate's own server of HTTP/2. They have been made ready.
#[derive(Debug)]
pub(super) struct OfUpgrade(To);

impl OfUpgrade {
    pub(super) fn of(extensions: &http::Extensions) -> Self {
        OfUpgrade(To::of(extensions))
    }

    pub(super) fn send(&self, head: Option<response::Parts>) {
        match (&self.0, head) {
            #[cfg(feature = "http2")]
            (To::Http2(interim), Some(head)) => interim.send(http::Response::from_parts(head, ())),
            _ => {}
        }
    }
}

impl Exchange {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing here panics while it holds the lock; and if it did, the state would still be sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One for a request that a server has taken in which is not under this crate's control, or is its server of HTTP/2.
    pub(super) fn of(extensions: &http::Extensions) -> Self {
        let exchange = Exchange::default();
        exchange.state().to = To::of(extensions);
        exchange
    }

    pub(super) fn takes_interim(&self) -> bool {
        !matches!(self.state().to, To::Nobody)
    }

    /// Takes an interim response of the upstream's. A 100 is not taken: hyper's server sends its own where the
    /// client expects one.
    pub(super) fn interim(&self, status: StatusCode, headers: &HeaderMap) {
        if status == StatusCode::CONTINUE || status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = status;
        parts.version = Version::HTTP_11;
        parts.headers = headers.clone();
        let also = |name: &HeaderName| name == CONTENT_LENGTH;
        if hop_by_hop::strip_and(&mut parts.headers, also).is_err() {
            return;
        }
        let mut state = self.state();
        let state = &mut *state;
        state.passed_interim = true;
        match &state.to {
            To::Stream if state.interim.len() < LIMIT => encode_response(&parts, &mut state.interim),
            To::Stream | To::Nobody => {}
            #[cfg(feature = "http2")]
            To::Http2(interim) => interim.send(http::Response::from_parts(parts, ())),
        }
    }

    pub(super) fn has_passed_interim(&self) -> bool {
        self.state().passed_interim
    }

    /// The bytes to be written before hyper's next message.
    pub(super) fn take_interim(&self) -> Vec<u8> {
        std::mem::take(&mut self.state().interim)
    }

    pub(super) fn set_client_failure(&self, failure: Failure) {
        self.state().client_failure = Some(failure);
    }

    pub(super) fn take_client_failure(&self) -> Option<Failure> {
        self.state().client_failure.take()
    }

    /// The response goes to hyper now.
    pub(super) fn hand_over(&self, outcome: Outcome) {
        let mut state = self.state();
        state.outcome = outcome;
        state.handed_over = true;
        state.done = false;
    }

    pub(super) fn take_outcome(&self) -> Outcome {
        std::mem::take(&mut self.state().outcome)
    }

    pub(super) fn set_done(&self) {
        self.state().done = true;
    }

    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.handed_over && state.done
    }
}
