//! Which deadline a connection is under: from its beginning to the first request, while nothing is under way, and after GOAWAY.
//!
//! Must not know what is asked or answered.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::Http2End;
use super::config::Http2ServerConfig;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There has been no request.
    Opening,
    Serving,
    /// The client has been sent GOAWAY, and why.
    Closing(Http2End),
}

/// The one timer of a connection.
#[derive(Default)]
pub(super) struct Clock {
    /// What it counts from: the stage, and how often something had been under way before.
    since: Option<(Stage, u64)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    /// Ready when the deadline of this stage has passed. `open` streams stop it, and the next spell starts it again. A client that
    /// is asked to close has as much time more as it needs to read what comes `before` that.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stage: Stage,
        (open, spells): (usize, u64),
        config: &Http2ServerConfig,
        before: impl FnOnce() -> Duration,
    ) -> Poll<()> {
        if open > 0 {
            *self = Clock::default();
            return Poll::Pending;
        }
        if self.since != Some((stage, spells)) {
            self.since = Some((stage, spells));
            self.timer = Some(Box::pin(sleep(match stage {
                Stage::Opening => config.header_timeout,
                Stage::Serving => config.idle_timeout,
                Stage::Closing(_) => config.close_timeout.saturating_add(before()),
            })));
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
