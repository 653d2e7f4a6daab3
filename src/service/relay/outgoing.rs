//! What is kept of an ordinary request for another server, and when it may go there: where nothing can happen twice.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::Authority;
use http::{Request, Response, Uri, request};
use http_body::{Body, Frame, SizeHint};

use crate::connect::{Attempts, ConnectRequest, Outcome, Trace};
use crate::error::Phase;
use crate::header::Hop;
use crate::service::BoxError;
use crate::service::body::RequestBody;
use crate::service::config::RelayConfig;
use crate::service::failure::Failure;
use crate::service::interim::Exchange;

/// An ordinary request that goes upstream, and what has been tried for it.
pub(in crate::service) struct Outgoing<'a> {
    config: &'a RelayConfig,
    head: request::Parts,
    /// Its method is, even where its head is gone.
    is_idempotent: bool,
    hop: Hop,
    body: Kept,
    exchange: Arc<Exchange>,
    speaks_interim: bool,
    attempts: Attempts,
    /// It goes over a connection of its own: one from the pool had been closed by the upstream.
    wants_fresh: bool,
}

/// A request's body while it is here.
enum Kept {
    /// It has none.
    Empty,
    Whole(Slot),
}

/// A body that goes and comes back, unless it was asked for its first byte.
type Slot = Arc<Mutex<Option<RequestBody>>>;

impl<'a> Outgoing<'a> {
    pub(in crate::service) fn new<B>(
        request: Request<B>,
        hop: Hop,
        exchange: Arc<Exchange>,
        speaks_interim: bool,
        config: &'a RelayConfig,
    ) -> Self
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let body = match body.is_end_stream() {
            true => Kept::Empty,
            false => {
                let body = RequestBody::new(body, exchange.clone(), config);
                Kept::Whole(Arc::new(Mutex::new(Some(body))))
            }
        };
        Outgoing {
            config,
            is_idempotent: head.method.is_idempotent(),
            head,
            hop,
            body,
            exchange,
            speaks_interim,
            attempts: Attempts::default(),
            wants_fresh: false,
        }
    }

    /// Once more over a fresh connection, where the upstream had closed a kept one: it cannot have begun to answer, and may
    /// have read the request. Whether that is possible; it is so once.
    pub(in crate::service) fn starts_afresh_after<T>(&mut self, answered: &Result<T, Failure>) -> bool {
        let stale = matches!(answered, Err(failure) if failure.is_stale());
        if !stale || self.wants_fresh || !self.is_repeatable() {
            return false;
        }
        self.wants_fresh = true;
        // The servers that were tried may be tried again: this one is not to blame.
        let trace = self.attempts.trace().cloned();
        self.attempts = Attempts::default().traced(trace);
        true
    }

    /// Whether it goes over a connection of its own.
    pub(in crate::service) fn wants_fresh(&self) -> bool {
        self.wants_fresh
    }

    /// The same, written down for a log.
    pub(in crate::service) fn traced(mut self, trace: Option<Trace>) -> Self {
        if let Some(trace) = &trace {
            trace.located(self.hop);
        }
        self.attempts = self.attempts.traced(trace);
        self
    }

    /// It is about to be sent, to a server with this name if no connector knows a better one.
    pub(in crate::service) fn sets_out(&self, name: Option<&str>) {
        if let Some(trace) = self.attempts.trace() {
            trace.sets_out(name);
        }
    }

    /// There is a connection of its own for it.
    pub(in crate::service) fn connected(&self) {
        self.attempts.connected();
    }

    /// The authority of its destination.
    pub(in crate::service) fn authority(&self) -> Option<&str> {
        self.head.uri.authority().map(Authority::as_str)
    }

    /// Where it goes.
    pub(in crate::service) fn uri(&self) -> Uri {
        self.head.uri.clone()
    }

    /// What a connector may choose by.
    pub(in crate::service) fn connect_request(&self) -> ConnectRequest<'_> {
        ConnectRequest::new(&self.head, self.hop).tracked(&self.attempts)
    }

    /// The name by which the pool tells places apart.
    pub(in crate::service) fn set_authority(&mut self, authority: Authority) {
        let mut uri = std::mem::take(&mut self.head.uri).into_parts();
        uri.authority = Some(authority);
        // As it was, with another authority: nothing in it can be wrong.
        self.head.uri = Uri::from_parts(uri).unwrap_or_default();
    }

    /// For a connection that is no pool's: the target alone.
    pub(in crate::service) fn set_origin_form(&mut self) {
        if let Some(target) = self.head.uri.path_and_query().cloned() {
            self.head.uri = Uri::from(target);
        }
    }

    /// The request for one attempt. Its head is kept only if something has begun that another attempt could follow.
    pub(in crate::service) fn request(&mut self) -> Request<OutgoingBody> {
        self.exchange.begin_attempt();
        let may_follow = self.attempts.count() > 0 || !self.wants_fresh && self.is_repeatable();
        let head = match may_follow {
            false => std::mem::replace(&mut self.head, Request::new(()).into_parts().0),
            true => self.head.clone(),
        };
        let body = match &self.body {
            Kept::Empty => OutgoingBody::Own(RequestBody::empty(self.exchange.clone(), self.config)),
            Kept::Whole(slot) => OutgoingBody::Lent(slot.clone(), None),
        };
        let mut request = Request::from_parts(head, body);
        if self.speaks_interim {
            let exchange = self.exchange.clone();
            hyper::ext::on_informational(&mut request, move |response| {
                exchange.interim(response.status(), response.headers());
            });
        }
        request
    }

    /// How many servers have been tried.
    pub(in crate::service) fn tries(&self) -> usize {
        self.attempts.count()
    }

    /// Tells the server what has become of it there, and says whether another may be asked.
    pub(in crate::service) fn goes_on_after<T>(&self, answered: &Result<Response<T>, Failure>) -> bool {
        let again = match answered {
            Ok(response) => self.attempts.end(Outcome::Answered(response.status())),
            Err(failure) => failure.report_to(&self.attempts),
        };
        again
            && match answered {
                Err(failure) if failure.error.phase() == Phase::Connect => self.is_whole(),
                _ => self.is_repeatable(),
            }
    }

    /// Whether no byte of the body has been asked for.
    fn is_whole(&self) -> bool {
        match &self.body {
            Kept::Empty => true,
            Kept::Whole(slot) => locked(slot, |body| body.is_some()),
        }
    }

    /// Whether it may be sent although it may have been received before (RFC 9110, section 9.2.2), and the client has not
    /// heard of it either.
    fn is_repeatable(&self) -> bool {
        matches!(self.body, Kept::Empty) && self.is_idempotent && !self.exchange.has_passed_interim()
    }
}

/// The body of one attempt.
pub(in crate::service) enum OutgoingBody {
    Own(RequestBody),
    /// Taken out of where it is kept when its first byte is asked for.
    Lent(Slot, Option<RequestBody>),
}

fn locked<T>(slot: &Slot, look: impl FnOnce(&mut Option<RequestBody>) -> T) -> T {
    // Nothing that looks panics.
    look(&mut slot.lock().unwrap_or_else(PoisonError::into_inner))
}

impl OutgoingBody {
    fn look<T>(&self, look: impl FnOnce(&RequestBody) -> T, gone: T) -> T {
        match self {
            OutgoingBody::Own(body) | OutgoingBody::Lent(_, Some(body)) => look(body),
            OutgoingBody::Lent(slot, None) => locked(slot, |body| body.as_ref().map_or(gone, look)),
        }
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = match &mut *self {
            OutgoingBody::Own(body) => Some(body),
            OutgoingBody::Lent(slot, taken) => {
                if taken.is_none() {
                    *taken = locked(slot, Option::take);
                }
                taken.as_mut()
            }
        };
        body.map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.look(Body::is_end_stream, true)
    }

    fn size_hint(&self) -> SizeHint {
        self.look(Body::size_hint, SizeHint::with_exact(0))
    }
}
