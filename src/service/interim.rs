//! Interim responses are passed on (RFC 9110, section 15.2). hyper's server cannot send them, so this file writes them beside it,
//! between hyper's own messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::{CONTENT_LENGTH, HeaderName};
use http::{HeaderMap, StatusCode, Version};

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
    /// Nobody can write interim responses here.
    no_interim: bool,
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

/// The status that the client is sent, and what it reports, if it is the proxy's own.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) status: Option<StatusCode>,
    pub(super) failure: Option<Arc<Error>>,
    pub(super) rejection: Option<Rejection>,
}

impl Exchange {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing here panics while it holds the lock; and if it did, the state would still be sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One whose client is out of reach but for hyper.
    pub(super) fn without_interim() -> Self {
        let exchange = Exchange::default();
        exchange.state().no_interim = true;
        exchange
    }

    pub(super) fn takes_interim(&self) -> bool {
        !self.state().no_interim
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
        state.passed_interim = true;
        if state.interim.len() < LIMIT {
            encode_response(&parts, &mut state.interim);
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
