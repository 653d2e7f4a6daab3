//! How long a stream may make hyper wait between two bytes. hyper itself has no such deadline.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// A deadline that starts with a wait and ends with progress.
#[derive(Debug)]
pub(super) struct Stall {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(super) fn new(limit: Duration) -> Self {
        Stall { limit, timer: None }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Bytes have moved: the next wait starts from zero.
    pub(super) fn progress(&mut self) {
        self.timer = None;
    }

    /// Nothing has moved. An error once that has lasted too long.
    pub(super) fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        timer.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }
}
