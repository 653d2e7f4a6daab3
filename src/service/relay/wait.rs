//! How long a side may make a message wait. One timer for all waits of a connection: it fires, and looks.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock::After;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// The upstream to take more of the request.
    Sending,
    /// The client to send more of it.
    Upload,
    /// The upstream to answer, or to send more of its answer.
    Answer,
    /// The client to take more of the answer.
    Client,
}

impl For {
    fn is_of_request(self) -> bool {
        matches!(self, For::Sending | For::Upload)
    }
}

/// A wait that starts again with each byte that moves.
#[derive(Debug, Default)]
pub(super) struct Wait {
    timer: Option<Pin<Box<Sleep>>>,
    /// For the request to get on, which goes on whatever is waited for besides.
    of_request: Option<Started>,
    of_answer: Option<Started>,
}

#[derive(Clone, Copy, Debug)]
struct Started {
    of: (For, u64),
    deadline: Instant,
}

impl Wait {
    /// What is waited for next is another message. The timer stays set: it is cheaper to let it fire once for nothing than to set one
    /// for each message.
    pub(super) fn start_again(&mut self) {
        (self.of_request, self.of_answer) = (None, None);
    }

    /// Nothing has moved since `progress` was the same. Ready when that has lasted for too long.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        waits_for: For,
        progress: u64,
        limit: Duration,
    ) -> Poll<()> {
        let of = (waits_for, progress);
        let place = match waits_for.is_of_request() {
            true => &mut self.of_request,
            false => &mut self.of_answer,
        };
        let started = place
            .filter(|started| started.of == of)
            .unwrap_or_else(|| Started {
                of,
                deadline: Instant::now().after(limit),
            });
        *place = Some(started);
        self.poll_until(cx, started.deadline)
    }

    /// Ready when this deadline has passed.
    pub(super) fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
