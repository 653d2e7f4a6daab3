//! Interim responses on their way to a client (RFC 9113, section 8.1): whoever answers a request hands them in, and the task of its
//! stream sends them in front of the final response.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Response, StatusCode};

/// The most bytes of fields that one request's interim responses have. HTTP/2 has no window for them, so a client that does not
/// read would have them all kept.
const LIMIT: usize = 64 * 1024;
/// RFC 9113, section 6.5.2: what a field counts beside its name and value.
const FIELD: usize = 32;

/// Among the extensions of a request: takes interim responses for its client.
#[derive(Clone, Debug, Default)]
pub(crate) struct InterimResponses(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    queue: Vec<Response<()>>,
    bytes: usize,
    sender: Option<Waker>,
    /// The final response is out.
    is_over: bool,
}

impl InterimResponses {
    /// Hands one in. It goes nowhere where it is no interim response, is one too many, or comes behind the final response.
    pub(crate) fn send(&self, response: Response<()>) {
        let status = response.status();
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let mut state = self.lock();
        state.bytes += size(response.headers());
        if state.bytes > LIMIT || state.is_over {
            return;
        }
        state.queue.push(response);
        if let Some(sender) = state.sender.take() {
            sender.wake();
        }
    }

    /// The ones to be sent now. The task of this context is woken by the next.
    pub(super) fn poll_queued(&self, cx: &mut Context<'_>) -> Poll<Vec<Response<()>>> {
        let mut state = self.lock();
        if !state.queue.is_empty() {
            return Poll::Ready(std::mem::take(&mut state.queue));
        }
        match &mut state.sender {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes no more. The extensions of a request may be kept for longer than its task, which nothing in here keeps.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        *state = State {
            is_over: true,
            ..State::default()
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(fields: &HeaderMap) -> usize {
    let of_fields = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    FIELD + of_fields.sum::<usize>()
}
