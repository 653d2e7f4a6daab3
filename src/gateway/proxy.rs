//! Steps (4) to (7) of the walk for one upgrade. The client is watched while the upstream is asked.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Buf;
use http::{StatusCode, Uri};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::Client;
use super::answered::{Answered, Final, Unanswered};
use super::established::Negotiated;
use super::relayed_body::RelayedBody;
use super::{Incoming, Outcome};
use crate::connect::Connect;
use crate::error::{Cause, Error, Phase};
use crate::exchange::{self, Answer, Exchange, Outgoing};
use crate::header::trailer::Ending;
use crate::http1::{AnswerHead, BodyLength};
use crate::side::Side;
use crate::telemetry::Kind;
use crate::wire::{self, First};

impl<S> Incoming<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Proxies the upgrade: asks the upstream, and tunnels if it switches.
    ///
    /// # Errors
    ///
    /// As [`Gateway::serve`](super::Gateway::serve).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes both connections.
    pub async fn proxy<C: Connect>(self, connect: &C) -> Result<Outcome<S>, Error> {
        self.proxy_until(connect, pending()).await
    }

    /// As [`proxy`](Incoming::proxy), and ends the tunnel in order when `drain` completes.
    ///
    /// # Errors
    ///
    /// As [`Gateway::serve`](super::Gateway::serve).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes both connections.
    pub async fn proxy_until<C, F>(self, connect: &C, drain: F) -> Result<Outcome<S>, Error>
    where
        C: Connect,
        F: Future<Output = ()>,
    {
        // Boxed and gone before the tunnel: a future is as large as its largest state.
        match Box::pin(self.negotiate(connect)).await? {
            Negotiated::Declined(status) => Ok(Outcome::Declined(status)),
            Negotiated::Switched(established) => {
                let protocol = established.protocol().clone();
                let traffic = established.run_until(drain).await?;
                Ok(Outcome::Tunnelled { protocol, traffic })
            }
        }
    }

    /// Steps (4) to (7): asks the upstream, and answers the client. The tunnel is the caller's to run, in a task that
    /// holds nothing else.
    ///
    /// # Errors
    ///
    /// As [`Gateway::serve`](super::Gateway::serve).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes both connections.
    pub fn negotiate<C: Connect>(
        self,
        connect: &C,
    ) -> impl Future<Output = Result<Negotiated<S, C::Stream>, Error>> {
        let observed = exchange::observed(Kind::Upgrade, &*self.head, self.head.version(), self.hop);
        // No `async fn`, which would hold the client twice. Boxed before it is passed on: it is large, and moved at each hand.
        let negotiating = Box::pin(async move {
            match self.try_ask(connect).await {
                Ok(answered) => answered.relay().await,
                Err(unanswered) => Err(unanswered.refuse().await),
            }
        });
        let end = |negotiated: &Result<_, Error>| match negotiated {
            Ok(Negotiated::Switched(_)) => (Some(101), None),
            Ok(Negotiated::Declined(status)) => (Some(status.as_u16()), None),
            Err(error) => failure(error),
        };
        observed.run(negotiating, end)
    }

    /// Steps (4) to (7), and no more: the client has not been sent the answer yet, so that it may depend on what the upstream
    /// says. Interim responses are sent. [`negotiate`](Incoming::negotiate) is this, and [`Answered::relay`].
    ///
    /// ```
    /// use http::{Response, StatusCode};
    /// use switchover::connect::TcpConnect;
    /// use switchover::gateway::{Incoming, Negotiated};
    /// use switchover::header::{HeaderRules, rules::{Statuses, Variables}};
    /// use tokio::net::TcpStream;
    ///
    /// # async fn doc(incoming: Incoming<TcpStream>, upstream: TcpConnect) -> Result<(), Box<dyn std::error::Error>> {
    /// let (head, hop) = (incoming.head().clone(), incoming.hop());
    /// let mut answered = match incoming.ask(&upstream).await {
    ///     Ok(answered) => answered,
    ///     Err(unanswered) => return Err(unanswered.refuse().await.into()),
    /// };
    /// let status = answered.head().status.as_str().to_owned();
    /// let rules = HeaderRules::default().set_on_response("X-Origin-Status", &status, Statuses::Always)?;
    /// answered.apply(&rules.prepare(&Variables::new(&head, &hop)));
    /// if let Negotiated::Switched(established) = answered.relay().await? {
    ///     established.run().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unanswered`]: the client still waits, for [`refuse`](Unanswered::refuse) or for an answer of the caller's own.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes both connections.
    pub async fn ask<C: Connect>(self, connect: &C) -> Result<Answered<S, C::Stream>, Box<Unanswered<S>>> {
        let observed = exchange::observed(Kind::Upgrade, &*self.head, self.head.version(), self.hop);
        let end = |answered: &Result<Answered<S, C::Stream>, Box<Unanswered<S>>>| match answered {
            Ok(answered) => (Some(answered.head().status.as_u16()), None),
            Err(unanswered) => failure(unanswered.error()),
        };
        observed.run(self.try_ask(connect), end).await
    }

    async fn try_ask<C: Connect>(self, connect: &C) -> Result<Answered<S, C::Stream>, Box<Unanswered<S>>> {
        // First, to be dropped last: its place is free when its connections are closed, whatever happens before.
        let Incoming {
            admission,
            mut client,
            mut request,
            mut head,
            target,
            rules,
            hop,
            label,
            config,
        } = self;
        let body = request.body_length();
        let continued = match body != BodyLength::None && request.take_expectation(head.fields_mut()) {
            true => client.send_head(&continue_head()).await,
            false => Ok(()),
        };
        let forwarding = match rules {
            Some(rules) => &config.forwarding.clone().header_rules(rules),
            None => &config.forwarding,
        };
        let hop = forwarding.forwarded_rules().locate_by(hop, head.fields());
        let ending = match body {
            BodyLength::Chunked => Some(Ending::of_request(head.fields(), forwarding.rules())),
            _ => None,
        };
        let tap = config.upgrade.tap_of(&mut request, &mut head, hop);
        let pending = request.forward_to(&mut head, target.map(Uri::from), hop, forwarding); // (4)
        let outgoing = Outgoing::new(head, hop, pending, client.trace.clone());
        let answer = match continued {
            Ok(()) => ask(&mut client, connect, &outgoing, (body, ending), &config).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => {
                answer.observed();
                Ok(Answered {
                    client,
                    answer,
                    listing: config.upgrade.listing(&outgoing),
                    parent: outgoing.parent(),
                    label,
                    tap,
                    config,
                    admission,
                })
            }
            Err(error) => {
                error.observed();
                Err(Box::new(Unanswered {
                    client,
                    error,
                    admission,
                }))
            }
        }
    }
}

/// What a span says of a failure: the status that the client gets, and why.
fn failure(error: &Error) -> (Option<u16>, Option<&'static str>) {
    let status = error.status().map(|status| status.as_u16());
    (status, Some(error.reason().name()))
}

/// Steps (5) to (7), given up as soon as the client leaves.
async fn ask<S, C>(
    client: &mut Client<S>,
    connect: &C,
    outgoing: &Outgoing,
    (body, ending): (BodyLength, Option<Arc<Ending>>),
    config: &super::GatewayConfig,
) -> Result<Final<C::Stream>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    C: Connect,
{
    let mut answer = match body {
        BodyLength::None => {
            let timer = std::mem::take(&mut client.timer);
            let answer = pin!(exchange::ask(connect, outgoing, &config.upgrade, timer));
            unless_left(answer, client).await?
        }
        // Sent once, and to one upstream: it is not kept. Boxed, for hardly an upgrade has a body.
        body => {
            let asking = async {
                let timer = std::mem::take(&mut client.timer);
                let start = pin!(Exchange::start(connect, outgoing, &config.upgrade, timer));
                let mut exchange = unless_left(start, client).await?;
                send_body(client, &mut exchange, (body, ending), config).await?;
                unless_left(pin!(exchange.next()), client).await
            };
            Box::pin(asking).await?
        }
    };
    loop {
        let exchange = match answer {
            Answer::Interim(exchange, response) => {
                if let Some(response) = response {
                    client.send_head(&response.into()).await?;
                }
                *exchange
            }
            Answer::Declined(declined, upstream, early) => {
                return Ok(Final::Declined(declined, upstream, early));
            }
            Answer::Switched(switched, upstream, early, timer) => {
                return Ok(Final::Switched(switched, upstream, early, timer));
            }
        };
        answer = unless_left(pin!(exchange.next()), client).await?;
    }
}

/// What a step comes to, or that the client has left meanwhile.
async fn unless_left<S, T>(
    step: Pin<&mut impl Future<Output = Result<T, Error>>>,
    client: &mut Client<S>,
) -> Result<T, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    match wire::first(step, pin!(client.left())).await {
        First::Left(result) => result,
        First::Right(left) => Err(left),
    }
}

/// Forwards the request's body as it is framed, unless the upstream declines before it is whole. What follows it
/// waits for the switch.
async fn send_body<S, U>(
    client: &mut Client<S>,
    exchange: &mut Exchange<'_, U>,
    (length, ending): (BodyLength, Option<Arc<Ending>>),
    config: &super::GatewayConfig,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |cause: Cause| Error::new(Phase::Request, Side::Downstream, cause);
    let mut scanner = RelayedBody::new(length, ending);
    let mut body = Vec::new();
    loop {
        let count = scanner
            .advance(&client.early, &mut body)
            .map_err(|error| failed(error.into()))?;
        client.early.advance(count);
        if !exchange.send(&body).await? {
            return Ok(());
        }
        body.clear();
        if scanner.is_complete() {
            exchange.is_asked();
            return Ok(());
        }
        let read = wire::read_some(&mut client.stream, &mut client.early, usize::MAX);
        let read = tokio::time::timeout(config.upgrade.read_timeout, read);
        // The upstream first: a client may always have more.
        let read = match wire::first(pin!(exchange.declines_early()), pin!(read)).await {
            First::Left(declined) => return declined,
            First::Right(read) => read,
        };
        match read {
            Ok(Ok(0)) => return Err(failed(Cause::Closed)),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(failed(error.into())),
            Err(_) => return Err(failed(Cause::TimedOut(config.upgrade.read_timeout))),
        }
    }
}

fn continue_head() -> AnswerHead {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = StatusCode::CONTINUE;
    parts.into()
}
