//! A request under observation: what is said of it when it comes, and when it has its answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::Kind;

/// What a span says of its request.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "tracing"), allow(dead_code))]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) scheme: &'static str,
    pub(crate) version: &'static str,
    pub(crate) host: Option<&'a str>,
    pub(crate) port: Option<u16>,
    pub(crate) client: Option<std::net::IpAddr>,
    pub(crate) client_port: Option<u16>,
    pub(crate) traceparent: Option<&'a str>,
}

/// A request that is observed until it has its answer.
#[derive(Debug)]
pub(crate) struct ObservedRequest {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl ObservedRequest {
    pub(crate) fn start(kind: Kind, asked: &Asked<'_>) -> Self {
        let _ = (kind, asked);
        ObservedRequest {
            #[cfg(feature = "tracing")]
            span: match kind {
                Kind::Upgrade => super::spans::upgrade(asked),
                #[cfg(feature = "hyper")]
                Kind::Request => super::spans::request(asked),
            },
        }
    }

    /// What serving it comes to. `end` says the status and the name of the error.
    ///
    /// No `async fn`, which would hold what serves twice: it is the largest future of a request.
    pub(crate) fn run<F, E>(self, serving: F, end: E) -> Observed<F, E>
    where
        F: Future,
        E: FnOnce(&F::Output) -> End,
    {
        Observed {
            #[cfg(feature = "tracing")]
            serving: tracing::Instrument::instrument(serving, self.span.clone()),
            #[cfg(not(feature = "tracing"))]
            serving,
            end: Some(end),
            request: self,
        }
    }

    fn end(&self, (status, error): End) {
        #[cfg(feature = "tracing")]
        super::spans::record_end(&self.span, status, error);
        let _ = (status, error);
    }
}

/// The status of an answer, and the name of an error.
pub(crate) type End = (Option<u16>, Option<&'static str>);

#[cfg(feature = "tracing")]
type Serving<F> = tracing::instrument::Instrumented<F>;
#[cfg(not(feature = "tracing"))]
type Serving<F> = F;

pin_project! {
    /// A request that is served: the future of [`ObservedRequest::run`].
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Observed<F, E> {
        #[pin]
        serving: Serving<F>,
        end: Option<E>,
        request: ObservedRequest,
    }
}

impl<F, E> Future for Observed<F, E>
where
    F: Future,
    E: FnOnce(&F::Output) -> End,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let output = ready!(this.serving.poll(cx));
        if let (Some(end), true) = (this.end.take(), cfg!(feature = "tracing")) {
            this.request.end(end(&output));
        }
        Poll::Ready(output)
    }
}
