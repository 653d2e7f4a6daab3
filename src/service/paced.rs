//! The pace of a response is its client's: over HTTP/2 at most one piece of it is with the server at a time, and a client that takes
//! nothing for too long has what the response comes from let go.
//!
//! A server such as hyper's for HTTP/2 asks a body for more as long as there is room in buffers of its own, which it has for each
//! stream, and stops asking, without a deadline, when there is none. What has become of a piece is known all the same: the server
//! drops its bytes when they have been sent.
//!
//! Over HTTP/1 the server has one buffer for the connection, and that is the bound: code that collects a whole body, as tests and some
//! layers do, keeps all pieces and still asks for the next.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};

use super::body::Source;
use super::tasks::Tasks;
use crate::clock::After;
use crate::error::{Cause, Error, Phase};
use crate::side::Side;

/// The most bytes of a piece: what a DATA frame takes, and more for HTTP/1. A client is seen to take bytes when it has taken a piece, so the
/// slowest client takes this within the limit. Behind a socket whose buffer is full every client begins to be slow from one moment to the
/// next, so no piece may be larger.
const PIECE: usize = 16 * 1024;
const HTTP1_PIECE: usize = 32 * 1024;

/// How a response is paced.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// How long the client may take nothing. None: as long as it likes.
    pub(super) limit: Option<Duration>,
    /// What runs the task that waits for it.
    pub(super) tasks: Tasks,
    /// Whether the server has a buffer for the connection, and not one for each answer.
    pub(super) is_http1: bool,
}

/// Whether the server that has taken in a request bounds what waits for its client, and for how long.
pub(super) fn paces_itself(extensions: &http::Extensions) -> bool {
    #[cfg(feature = "http2")]
    return extensions.get::<crate::http2::Paces>().is_some();
    #[cfg(not(feature = "http2"))]
    {
        let _ = extensions;
        false
    }
}

/// A body that is handed out piece by piece.
pub(super) struct Paced {
    shared: Arc<Shared>,
    /// Until the task that watches the client has been started.
    tasks: Option<Tasks>,
}

struct Shared {
    limit: Option<Duration>,
    /// No second piece may be with the server.
    is_one_at_a_time: bool,
    state: Mutex<State>,
}

struct State {
    /// None when it has been let go.
    source: Option<Source>,
    /// What the source has given beyond a piece.
    rest: Bytes,
    /// The last piece is with the server.
    is_out: bool,
    /// Since when the client, or the server for it, owes a step. None while the source does.
    waits_since: Option<Instant>,
    reader: Option<Waker>,
    watcher: Option<Waker>,
    /// The watcher sleeps without a timer.
    is_unwatched: bool,
    has_ended: bool,
}

impl Paced {
    pub(super) fn new(source: Source, pace: Pace) -> Self {
        let state = State {
            source: Some(source),
            rest: Bytes::new(),
            is_out: false,
            waits_since: None,
            reader: None,
            watcher: None,
            is_unwatched: false,
            has_ended: false,
        };
        let shared = Shared {
            limit: pace.limit,
            is_one_at_a_time: !pace.is_http1,
            state: Mutex::new(state),
        };
        Paced {
            shared: Arc::new(shared),
            tasks: pace.limit.map(|_| pace.tasks),
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Arc<Error>>>> {
        let mut locked = self.shared.lock();
        let state = &mut *locked;
        let Some(source) = &mut state.source else {
            return Poll::Ready(Some(Err(self.shared.late())));
        };
        let is_at_end = state.rest.is_empty() && source.is_end_stream();
        if state.is_out && self.shared.is_one_at_a_time && !is_at_end {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.waits_since = None;
        let frame = match state.rest.is_empty() {
            true => match std::task::ready!(source.poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            },
            false => Frame::data(std::mem::take(&mut state.rest)),
        };
        let mut data = match frame.into_data() {
            Ok(data) => data,
            Err(other) => return Poll::Ready(Some(Ok(other))),
        };
        let most = match self.shared.is_one_at_a_time {
            true => PIECE,
            false => HTTP1_PIECE,
        };
        state.rest = data.split_off(data.len().min(most));
        state.wait();
        state.is_out = true;
        let is_last = state.rest.is_empty() && state.source.as_ref().is_some_and(Source::is_end_stream);
        drop(locked);
        // Of the last piece nothing is left to be let go.
        if let (false, Some(tasks)) = (is_last, self.tasks.take()) {
            tasks.execute(watch(self.shared.clone()));
        }
        let piece = Piece {
            bytes: data,
            shared: self.shared.clone(),
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.shared.lock();
        state.rest.is_empty() && state.source.as_ref().is_some_and(Source::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let state = self.shared.lock();
        let hint = state.source.as_ref().map(Source::size_hint).unwrap_or_default();
        match hint.exact() {
            Some(length) => SizeHint::with_exact(length.saturating_add(state.rest.len() as u64)),
            None => hint,
        }
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.has_ended = true;
        let source = state.source.take();
        let watcher = state.watcher.take();
        drop(state);
        drop(source);
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }
}

impl fmt::Debug for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = &self.shared.limit;
        f.debug_struct("Paced")
            .field("limit", limit)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn late(&self) -> Arc<Error> {
        let cause = Cause::TimedOut(self.limit.unwrap_or_default());
        Arc::new(Error::new(Phase::Response, Side::Downstream, cause))
    }
}

impl State {
    /// The client's time begins.
    fn wait(&mut self) {
        self.waits_since = Some(Instant::now());
        if self.is_unwatched {
            self.is_unwatched = false;
            if let Some(watcher) = self.watcher.take() {
                watcher.wake();
            }
        }
    }
}

/// A piece that is with the server.
struct Piece {
    bytes: Bytes,
    shared: Arc<Shared>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_out = false;
        // While the source owes a step, the client does not.
        if !state.has_ended && state.waits_since.is_some() {
            state.wait();
        }
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Lets the source go when the client has taken nothing for too long. Ends with the body.
async fn watch(shared: Arc<Shared>) {
    let Some(limit) = shared.limit else { return };
    let mut timer = pin!(sleep_until(Instant::now().after(limit)));
    poll_fn(|cx| {
        loop {
            let mut state = shared.lock();
            if state.has_ended || state.source.is_none() {
                return Poll::Ready(());
            }
            state.watcher = Some(cx.waker().clone());
            state.is_unwatched = false;
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let Some(since) = state.waits_since else {
                state.is_unwatched = true;
                return Poll::Pending;
            };
            let deadline = since.after(limit);
            if Instant::now() < deadline {
                timer.as_mut().reset(deadline);
                continue;
            }
            let source = state.source.take();
            let reader = state.reader.take();
            drop(state);
            drop(source);
            if let Some(reader) = reader {
                reader.wake();
            }
            return Poll::Ready(());
        }
    })
    .await;
}
