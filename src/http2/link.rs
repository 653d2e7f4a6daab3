//! Who uses a connection, and until when it may be used: no tunnel starts on one that is closed, has got GOAWAY, or
//! has no room, and none that is used is closed for being idle.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use http::{Request, request};
use tokio::time::timeout;

use super::driven::Driven;
use super::payload::Payload;
use crate::handshake::extended_connect::PROTOCOL;

/// A connection, as the tunnels on it and the task that drives it see it.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    most: usize,
    driven: Arc<Driven>,
}

struct State {
    /// None once the connection is being closed.
    sender: Option<SendRequest<Payload>>,
    tunnels: usize,
    /// Nobody will start a tunnel on it any more.
    retired: bool,
    driver: Option<Waker>,
    cause: Option<&'static str>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("open", &self.sender.is_some())
            .field("tunnels", &self.tunnels)
            .field("retired", &self.retired)
            .finish_non_exhaustive()
    }
}

impl State {
    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }
}

impl Link {
    /// A connection with room for `most` tunnels, if the upstream does not want fewer.
    pub(super) fn new(sender: SendRequest<Payload>, most: usize, driven: Arc<Driven>) -> Arc<Self> {
        Arc::new(Link {
            state: Mutex::new(State {
                sender: Some(sender),
                tunnels: 0,
                retired: false,
                driver: None,
                cause: None,
            }),
            most,
            driven,
        })
    }

    /// The connection has ended. The cause is what the streams do not learn by themselves.
    pub(super) fn close(&self, cause: Option<&'static str>) {
        let mut state = self.lock();
        state.sender = None;
        state.cause = state.cause.or(cause);
        drop(state);
        self.driven.close();
    }

    /// What the task that drives it does for the streams.
    pub(super) fn driven(&self) -> &Driven {
        &self.driven
    }

    /// Completes when no tunnel has used the connection for so long, or none is left and none will come. It is closed
    /// then.
    pub(super) async fn unused(&self, limit: Duration) {
        loop {
            poll_fn(|cx| self.poll_state(cx, |state| state.tunnels == 0)).await;
            let again = poll_fn(|cx| self.poll_state(cx, |state| state.tunnels > 0 || state.retired));
            // Either is looked at again below, where no tunnel can come in between.
            let elapsed = timeout(limit, again).await.is_err();
            let mut state = self.lock();
            if state.tunnels == 0 && (elapsed || state.retired) {
                state.sender = None;
                return;
            }
        }
    }

    fn poll_state(&self, cx: &mut Context<'_>, met: impl Fn(&State) -> bool) -> Poll<()> {
        let mut state = self.lock();
        if met(&state) {
            return Poll::Ready(());
        }
        state.driver = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pool's hold on a connection. Without it, the connection ends with its last tunnel.
#[derive(Debug)]
pub(super) struct Member(Arc<Link>);

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// As many tunnels as there may be.
    Full,
    /// Not any more.
    Closed,
}

impl Member {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Member(link)
    }

    /// A place for one more tunnel.
    pub(super) fn place(&self) -> Result<Place, NoPlace> {
        let mut state = self.0.lock();
        let State { sender, tunnels, .. } = &mut *state;
        let sender = sender.as_mut().ok_or(NoPlace::Closed)?;
        // Ready with an error once the connection has failed or has got GOAWAY; it waits for nothing.
        let usable = sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        if !matches!(usable, Poll::Ready(Ok(()))) || !sender.is_extended_connect_protocol_enabled() {
            return Err(NoPlace::Closed);
        }
        if *tunnels >= self.0.most.min(sender.current_max_send_streams()) {
            return Err(NoPlace::Full);
        }
        let sender = sender.clone();
        *tunnels += 1;
        state.wake_driver();
        let hold = Hold(self.0.clone());
        Ok(Place { sender, hold })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.retired = true;
        state.wake_driver();
    }
}

/// One tunnel's place on a connection, given back when this is dropped. To be dropped after the tunnel's stream.
pub(super) struct Place {
    sender: SendRequest<Payload>,
    hold: Hold,
}

/// A connection is not unused as long as this exists.
pub(super) struct Hold(Arc<Link>);

impl Place {
    /// Sends an extended CONNECT.
    pub(super) fn ask(
        &mut self,
        mut parts: request::Parts,
    ) -> Result<(ResponseFuture, SendStream<Payload>), h2::Error> {
        // RFC 7541, section 7.1: clients that do not trust each other share the connection, and must not be able to find
        // out by the length of what is compressed what another one has sent. So nothing of theirs is kept for that.
        for value in parts.headers.values_mut() {
            value.set_sensitive(true);
        }
        let mut request = Request::from_parts(parts, ());
        request.extensions_mut().insert(Protocol::from_static(PROTOCOL));
        self.sender.send_request(request, false)
    }

    /// Why nothing can be asked any more, if that is so.
    pub(super) fn failure(&mut self) -> Option<h2::Error> {
        match self.sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => Some(error),
            _ => None,
        }
    }

    /// What the task that drives the connection does for a stream.
    pub(super) fn driven(&self) -> Arc<Driven> {
        self.hold.0.driven.clone()
    }

    /// What keeps the connection when the place is given back.
    pub(super) fn hold(&self) -> Hold {
        self.hold.0.lock().tunnels += 1;
        Hold(self.hold.0.clone())
    }

    /// A stream's failure, with what is known of the connection's.
    pub(super) fn explain(&self, error: io::Error) -> io::Error {
        match self.hold.0.lock().cause {
            Some(cause) if error.kind() == io::ErrorKind::ConnectionAborted => {
                io::Error::new(error.kind(), cause)
            }
            _ => error,
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.hold.0).finish()
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The connection has a list of what is held.
        f.debug_tuple("Hold").finish_non_exhaustive()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.tunnels -= 1;
        if state.tunnels == 0 {
            state.wake_driver();
        }
    }
}
