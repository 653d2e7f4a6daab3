//! One request and its answer: asked of the service, given up when the client resets the stream, and sent as fast as the client
//! takes it, or not at all.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode, response};
use http_body::Body;
use tower_service::Service;

use super::body::RequestBody;
use super::config::Http2ServerConfig;
use super::interim::InterimResponses;
use super::open::Open;
use super::stream::{ConnectStream, Http2ServerStream};
use super::{BoxError, Paces};
use crate::header::date;
use crate::http1::{AnyFields, HeadError};
use crate::http2::driven::Driven;
use crate::http2::inbox::Inbox;
use crate::http2::liveness::Quiet;
use crate::http2::outlet::Outlet;
use crate::http2::payload::Payload;
use crate::telemetry;

/// What the requests of a connection share.
pub(super) struct Shared {
    pub(super) config: Arc<Http2ServerConfig>,
    pub(super) driven: Arc<Driven>,
}

/// Answers one request. A tunnel's stream is handed over.
pub(super) async fn answer<S, B>(
    request: Request<RecvStream>,
    mut respond: SendResponse<Payload>,
    service: S,
    shared: Arc<Shared>,
    mut open: Open,
) where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
{
    let is_head = request.method() == Method::HEAD;
    let (mut parts, receive) = request.into_parts();
    // The crumbs of a Cookie are one field (RFC 9113, section 8.2.3).
    let crumbs = parts.headers.get_all(http::header::COOKIE).iter().count();
    let limit = shared.config.max_head_fields;
    if parts.headers.len() - crumbs.saturating_sub(1) > limit {
        let why = HeadError::TooManyFields { limit };
        telemetry::refused(why.name());
        let mut refusal = Response::new(());
        *refusal.status_mut() = why.status();
        date::add(refusal.headers_mut());
        match respond.send_response(refusal, true) {
            Ok(_) => open.set_answered(),
            Err(_) => fail(&mut respond, &mut open).await,
        }
        return;
    }
    if let Some(protocol) = parts.extensions.remove::<h2::ext::Protocol>() {
        let protocol = hyper::ext::Protocol::from(protocol.as_str());
        parts.extensions.insert(protocol);
    }
    parts.extensions.insert(Paces);
    let interim = InterimResponses::default();
    parts.extensions.insert(interim.clone());
    let (body, connect) = match parts.method {
        Method::CONNECT => {
            let (handover, stream) = ConnectStream::new();
            parts.extensions.insert(stream);
            let inbox = Inbox::new(receive, shared.driven.clone());
            (RequestBody::none(), Some((handover, inbox)))
        }
        _ => {
            let body = RequestBody::new(&parts.headers, receive, &shared.driven, &interim);
            (body, None)
        }
    };
    let request = Request::from_parts(parts, body);
    let response = ask(service, request, &mut respond, &interim).await;
    interim.close();
    let Some(response) = response else {
        return fail(&mut respond, &mut open).await;
    };
    let (mut parts, body) = response.into_parts();
    clean(&mut parts.headers);
    match connect {
        Some((handover, inbox)) if parts.status.is_success() => {
            // RFC 9110, section 8.6.
            parts.headers.remove(CONTENT_LENGTH);
            let Ok(stream) = respond.send_response(Response::from_parts(parts, ()), false) else {
                return fail(&mut respond, &mut open).await;
            };
            open.set_answered();
            let _ = handover.send(Http2ServerStream::new(
                inbox,
                Outlet::new(stream, shared.driven.clone()),
                open,
            ));
        }
        declined => {
            // Whoever waits for the stream learns now that there is none, however long the client takes over the body.
            drop(declined);
            send(parts, body, is_head, respond, (&mut open, &shared)).await;
        }
    }
}

/// The service's response, with the interim ones sent before it. None if there is none to be sent: the client has given up the request, or the service has failed.
async fn ask<S, B>(
    mut service: S,
    request: Request<RequestBody>,
    respond: &mut SendResponse<Payload>,
    interim: &InterimResponses,
) -> Option<Response<B>>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
{
    let response = {
        let mut answered = pin!(async {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        });
        poll_fn(|cx| {
            let answered = answered.as_mut().poll(cx);
            // Nothing is sent on a stream that has been reset (RFC 9113, section 5.1). h2 would.
            if answered.is_pending() && respond.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            while let Poll::Ready(queued) = interim.poll_queued(cx) {
                for response in queued {
                    let _ = respond.send_informational(response);
                }
            }
            answered.map(Some)
        })
        .await?
    };
    response.ok()
}

/// There is no response: the client has given up the request, whatever the service made of that, or it was not to be answered.
async fn fail(respond: &mut SendResponse<Payload>, open: &mut Open) {
    match poll_fn(|cx| Poll::Ready(respond.poll_reset(cx).is_ready())).await {
        true => open.set_cancelled(),
        false => respond.send_reset(Reason::INTERNAL_ERROR),
    }
}

/// Removes what HTTP/2 forbids (RFC 9113, section 8.2.2), and says when the response was made.
fn clean(headers: &mut HeaderMap) {
    const FORBIDDEN: [HeaderName; 4] = [CONNECTION, TRANSFER_ENCODING, UPGRADE, TE];
    let others = |name: &HeaderName| ["keep-alive", "proxy-connection"].contains(&name.as_str());
    headers.keep_only(|name| !FORBIDDEN.contains(name) && !others(name));
    date::add(headers);
}

/// Sends a response, and stays until the connection has taken all of it or the client has given up.
async fn send<B>(
    mut parts: response::Parts,
    body: B,
    is_head: bool,
    mut respond: SendResponse<Payload>,
    (open, shared): (&mut Open, &Shared),
) where
    B: Body,
{
    let has_body = !is_head && !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let is_empty = body.is_end_stream();
    if let (false, Some(length)) = (is_empty, body.size_hint().exact()) {
        if has_body || is_head {
            parts
                .headers
                .entry(CONTENT_LENGTH)
                .or_insert_with(|| HeaderValue::from(length));
        }
    }
    let ends = is_empty || !has_body;
    let Ok(stream) = respond.send_response(Response::from_parts(parts, ()), ends) else {
        return fail(&mut respond, open).await;
    };
    open.set_answered();
    if ends {
        return;
    }
    let mut sending = Sending {
        outlet: Outlet::new(stream, shared.driven.clone()),
        quiet: Quiet::new(shared.config.send_timeout),
        driven: shared.driven.clone(),
    };
    if let Err(reason) = sending.send(pin!(body)).await {
        sending.outlet.reset(reason);
    }
}

/// A response's body on its way out.
struct Sending {
    outlet: Outlet,
    quiet: Quiet,
    driven: Arc<Driven>,
}

impl Sending {
    /// Sends it all. An error is what the stream is to be reset with.
    async fn send<B: Body>(&mut self, mut body: Pin<&mut B>) -> Result<(), Reason> {
        loop {
            let frame = poll_fn(|cx| match self.outlet.poll_reset(cx) {
                Poll::Ready(_) => Poll::Ready(Err(Reason::CANCEL)),
                Poll::Pending => {
                    let frame = body.as_mut().poll_frame(cx);
                    frame.map(|frame| Ok(frame.map(|frame| frame.map_err(drop))))
                }
            });
            match frame.await? {
                Some(Ok(frame)) if frame.is_data() => {
                    let Ok(mut data) = frame.into_data() else { continue };
                    let ends = body.is_end_stream();
                    let bytes = data.copy_to_bytes(data.remaining());
                    if bytes.is_empty() && !ends {
                        continue;
                    }
                    self.send_bytes(bytes, ends).await?;
                    if ends {
                        break;
                    }
                }
                Some(Ok(frame)) => {
                    let Ok(trailers) = frame.into_trailers() else {
                        continue;
                    };
                    let ended = poll_fn(|cx| Poll::Ready(self.outlet.end_with(cx, trailers.clone())));
                    ended.await.map_err(|_| Reason::CANCEL)?;
                    break;
                }
                // What came before is sent: a body that was cut short ends where it was cut.
                Some(Err(())) => {
                    self.flush().await?;
                    return Err(Reason::INTERNAL_ERROR);
                }
                None => {
                    self.outlet.end();
                    break;
                }
            }
        }
        self.flush().await
    }

    async fn send_bytes(&mut self, mut bytes: Bytes, ends: bool) -> Result<(), Reason> {
        poll_fn(|cx| {
            loop {
                match self.outlet.poll_send(cx, &mut bytes, ends) {
                    Poll::Ready(Ok(())) if bytes.is_empty() => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Reason::CANCEL)),
                    Poll::Pending => return self.poll_late(cx),
                }
            }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Reason> {
        poll_fn(|cx| match self.outlet.poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.map_err(|_| Reason::CANCEL)),
            Poll::Pending => self.poll_late(cx),
        })
        .await
    }

    /// Ready with an error once the client has taken nothing for too long. Bytes that its windows have room for wait for their turn on
    /// the connection: for them it counts, too, that the connection goes on.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        let others = match self.outlet.has_unsent() {
            true => self.driven.moved().resumed(),
            false => 0,
        };
        let progress = self.outlet.taken().wrapping_add(others);
        self.quiet.poll(cx, progress).map(|()| Err(Reason::CANCEL))
    }
}
