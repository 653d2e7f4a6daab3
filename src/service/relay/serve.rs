//! One ordinary request on a client's raw connection, asked of an upstream over a raw connection, and its answer relayed: heads as
//! the crate's own parser reads them, bodies as they are framed.
//!
//! The walk of an upgrade with other words: (4) rewrite, (5) connect, (6) the head of the answer, and then its body.

use std::future::poll_fn;
use std::task::Poll;

use bytes::BytesMut;
use http::header::{EXPECT, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Relayed;
use super::answered::{Answered, judge};
use super::asked::Asked;
use super::asking::{Asking, Leg, Unanswered};
use super::client::{Client, Outcome};
use super::destination::Destination;
use super::forward::{Route, ends_with_its_response, report_upgrade};
use super::last_hop;
use super::passage::{Passage, Reframe};
use super::source::Source;
use crate::error::{Cause, Error, Phase};
use crate::handshake::{Rejection, asks_for_upgrade, last_response};
use crate::header::connection::has_option;
use crate::header::rules::{PreparedRules, Variables};
use crate::header::trailer::Ending;
use crate::http1::{AnyFields, BodyLength, FieldList, HeadError, RequestHead, end_of_head};
use crate::service::config::RelayConfig;
use crate::side::Side;
use crate::telemetry::{self, Kind, Stopwatch};
use crate::tunnel::{self, Rewind, SpliceConfig, Transfer};
use crate::wire;

/// Serves the request at the start of `stream`.
pub(super) async fn serve<S, R>(
    source: &R,
    config: &RelayConfig,
    mut stream: Rewind<S>,
    head: &RequestHead,
    mut route: Route<'_>,
) -> Result<Relayed<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    R: Source,
{
    let refused = |error: HeadError| Error::new(Phase::RequestHead, Side::Downstream, Cause::Head(error));
    let fields = head.fields();
    let length = BodyLength::of_asked(head.version(), fields).map_err(|error| refused(error.into()))?;
    let (measure, timer) = (stream.measure(), stream.take_timer());
    let (stream, front) = stream.into_parts();
    let behind = measure.unwrap_or_else(|| end_of_head(&front));
    let ahead = match behind == front.len() {
        true => BytesMut::new(),
        false => BytesMut::from(&front[behind..]),
    };
    drop(front);
    let wants_switch = asks_for_upgrade(head);
    report_upgrade(wants_switch);
    let mut client = Client {
        stream,
        timer,
        ahead,
        has_ended: false,
        may_half_close: config.early_half_close,
        interim: Transfer::new(None),
        version: head.version(),
        method: head.method().clone(),
        length,
        ending: None,
        expects_continue: expects_continue(head.version(), fields, length),
        closes: wants_switch || ends_with_its_response(head) || has_option(fields, "close"),
    };
    let destination = route.destination;
    let trace = destination.trace.clone();
    if let Some(rejection) = refusal(config, head, length) {
        client.closes = true;
        return Box::pin(client.refuse(rejection, config, trace)).await;
    }
    if let Some(response) = last_hop::answer(head) {
        let outcome = Outcome {
            status: response.status(),
            failure: None,
            rejection: None,
        };
        return Box::pin(client.answer(response, outcome, config, trace)).await;
    }
    let forwarded = route.forwarding.forwarded_rules();
    route.hop = forwarded.locate_by(route.hop.version(head.version()), fields);
    let rules = route.rules(Variables::of_head(head, &route.hop));
    let mut outgoing = head.copied();
    if let Err(rejection) = route.rewrite(&mut outgoing, &rules, source.authority()) {
        return Box::pin(client.refuse(rejection, config, trace)).await;
    }
    if length == BodyLength::Chunked {
        client.ending = Some(Ending::of_request(fields, rules.rules()));
        let coding = HeaderValue::from_static("chunked");
        outgoing.fields_mut().set(TRANSFER_ENCODING, coding);
    }
    let mut asked = Asked::new(outgoing, route.hop, length != BodyLength::None, trace.clone());
    match ask(source, config, &mut client, &mut asked, destination, &rules).await {
        Ok(answered) => {
            let done = client.relay(answered, source, config, trace.as_ref()).await?;
            let (relayed, left) = client.end(done);
            if let Some(mut stream) = left {
                // Boxed, as all that comes once for a connection: it would set the size of what comes for each request.
                Box::pin(wire::close(&mut stream)).await;
            }
            Ok(relayed)
        }
        Err(Unanswered::Client(error)) => {
            let sent = client.interim.delivered();
            if let Some(trace) = &trace {
                trace.sent(sent, 0);
            }
            tunnel::reset_on_drop(&client.stream);
            error.observed();
            Err(error)
        }
        Err(Unanswered::Failed(failure)) => {
            failure.error.observed();
            let status = failure.status();
            let response = last_response(status, failure.error.public_text());
            let outcome = Outcome {
                status,
                failure: Some(failure.error),
                rejection: None,
            };
            Box::pin(client.answer(response, outcome, config, trace)).await
        }
    }
}

/// What of a request is refused before any upstream has received it.
fn refusal(config: &RelayConfig, head: &RequestHead, length: BodyLength) -> Option<Rejection> {
    if *head.method() == Method::TRACE && !config.allow_trace {
        return Some(Rejection::Trace);
    }
    match (length, config.most_of_request_body()) {
        (BodyLength::Exactly(length), Some(limit)) if length > limit => {
            Some(Rejection::BodyTooLarge { limit })
        }
        _ => None,
    }
}

/// RFC 9110, section 10.1.1: only in HTTP/1.1, and only before a body.
fn expects_continue(version: Version, fields: &FieldList, length: BodyLength) -> bool {
    let is_it = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
    length != BodyLength::None && version >= Version::HTTP_11 && fields.first(&EXPECT).is_some_and(is_it)
}

/// The head of an answer that the client can get. A server that fails is followed by another as long as the connector has one and
/// nothing can happen twice; where that leads to none, the last word is that of the one before, or of the same one over a fresh
/// connection, where it had closed a kept one.
async fn ask<S, R>(
    source: &R,
    config: &RelayConfig,
    client: &mut Client<S>,
    asked: &mut Asked,
    destination: &Destination,
    rules: &PreparedRules,
) -> Result<Answered<R::Place, R::Stream>, Unanswered>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    R: Source,
{
    let mut former = None;
    loop {
        let tries = asked.tries();
        let mut answered = match ask_one(source, config, client, asked, destination, rules).await {
            Ok(answered) => Ok(answered),
            Err(Unanswered::Failed(failure)) => Err(failure),
            Err(client) => return Err(client),
        };
        let mut goes_on = false;
        // An answer that another server was to better is the last word where no other has one.
        let mut passed = None;
        match (&answered, former.take()) {
            (Err(failure), Some(before)) if failure.error.is_exhaustion() => answered = before,
            // One that was tried is not tried again: this ends.
            (_, before) => {
                passed = before.and_then(Result::ok);
                let status = answered.as_ref().map(|answered| answered.head.status);
                goes_on = asked.goes_on_after(status) && asked.tries() != tries;
            }
        }
        match (answered, passed) {
            (Err(_), passed @ Some(_)) if goes_on => former = passed.map(Ok),
            (answered, _) if goes_on => former = Some(answered),
            (Err(failure), passed) if asked.starts_afresh_after(&failure) => former = passed.map(Ok),
            // The other server's interim response may have gone out in part, and is to be whole first.
            (Err(_), Some(answered)) if !client.interim.has_unsent() => return Ok(answered),
            (Err(failure), _) => return Err(Unanswered::Failed(failure)),
            (Ok(answered), _) => return Ok(answered),
        }
    }
}

async fn ask_one<S, R>(
    source: &R,
    config: &RelayConfig,
    client: &mut Client<S>,
    asked: &mut Asked,
    destination: &Destination,
    rules: &PreparedRules,
) -> Result<Answered<R::Place, R::Stream>, Unanswered>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    R: Source,
{
    let opened = {
        let mut open = std::pin::pin!(source.open(asked, destination, config));
        poll_fn(|cx| {
            if let Poll::Ready(opened) = open.as_mut().poll(cx) {
                return Poll::Ready(opened.map_err(Unanswered::Failed));
            }
            client.poll_ahead(cx).map(|error| Err(Unanswered::Client(error)))
        })
        .await?
    };
    let splice = Some(SpliceConfig::default());
    let upload = Passage::new(client.length, Reframe::Not, splice)
        .without(client.ending.clone())
        .at_most(config.most_of_request_body());
    let mut leg = Box::new(Leg { opened, upload });
    asked.head.encode(leg.upload.transfer.queue());
    if std::mem::take(&mut client.expects_continue) && client.ahead.is_empty() {
        let queue = client.interim.queue();
        queue.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let mut asking = Asking {
        config,
        client,
        leg: &mut leg,
        gave_up: false,
        interim: 0,
        head_by: None,
    };
    let asked_at = Stopwatch::start();
    let head = poll_fn(|cx| asking.poll(cx, asked)).await?;
    telemetry::answered(Kind::Request, asked_at);
    judge(client, leg, head, rules, config).map_err(Unanswered::Failed)
}
