//! Steps (4) to (7) of the walk for one upgrade. The client is watched while the upstream is asked.

use std::future::{Future, pending};
use std::pin::{Pin, pin};

use bytes::{Buf, Bytes};
use http::response;
use http::{StatusCode, Uri};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{Client, Refusal};
use super::established::{Established, Negotiated};
use super::relayed_body::RelayedBody;
use super::{Incoming, Outcome};
use crate::connect::Connect;
use crate::error::{Cause, Error, Phase};
use crate::exchange::{self, Answer, Exchange, Outgoing};
use crate::handshake;
use crate::http1::BodyLength;
use crate::side::Side;
use crate::telemetry::{self, Kind};
use crate::tunnel::Tunnel;
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
    pub async fn negotiate<C: Connect>(self, connect: &C) -> Result<Negotiated<S, C::Stream>, Error> {
        let observed = exchange::observed(Kind::Upgrade, &self.head, self.head.version, self.hop);
        let negotiating = self.try_negotiate(connect);
        let end = |negotiated: &Result<_, Error>| match negotiated {
            Ok(Negotiated::Switched(_)) => (Some(101), None),
            Ok(Negotiated::Declined(status)) => (Some(status.as_u16()), None),
            Err(error) => (
                error.status().map(|status| status.as_u16()),
                Some(error.reason().name()),
            ),
        };
        observed.run(negotiating, end).await
    }

    async fn try_negotiate<C: Connect>(self, connect: &C) -> Result<Negotiated<S, C::Stream>, Error> {
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
        if body != BodyLength::None && request.take_expectation(&mut head) {
            client.send_head(&continue_head()).await?;
        }
        let forwarding = match rules {
            Some(rules) => &config.forwarding.clone().header_rules(rules),
            None => &config.forwarding,
        };
        let hop = forwarding.client().locate(hop, &head.headers);
        let (mut outgoing, pending) = request.forward(*head, hop, forwarding); // (4)
        // Not before: the rules know the client's own target.
        if let Some(target) = target {
            outgoing.uri = Uri::from(target);
        }
        let outgoing = Outgoing::new(outgoing, hop, pending).traced(client.trace.clone());
        let answer = ask(&mut client, connect, &outgoing, body, &config).await;
        match answer {
            Ok(Final::Declined(declined, upstream, early)) => {
                telemetry::declined(declined.response().status.as_u16());
                // Boxed, as all that is rare: it would set the size of what is common.
                let relayed =
                    Box::pin(client.relay(*declined, upstream, early, config.upgrade.read_timeout)).await;
                relayed.map(Negotiated::Declined)
            }
            Ok(Final::Switched(switched, upstream, from_upstream)) => {
                let websocket = config.upgrade.websocket_of(&switched);
                let watched = config.upgrade.list(&switched, &outgoing, label, false);
                // From here on not one more byte of HTTP goes to this client.
                let (response, protocol) = switched.into_response();
                client.send_head(&response).await?;
                let tunnel = Tunnel::new(client.stream, upstream)
                    .config(config.upgrade.tunnel.clone())
                    .websocket(websocket)
                    .watched(watched)
                    .leftovers(client.early.freeze(), from_upstream);
                Ok(Negotiated::Switched(Established::new(
                    protocol, tunnel, admission,
                )))
            }
            Err(error) => {
                error.observed();
                if let Some(status) = error.status() {
                    // The client may be gone too; the upstream's failure is the news.
                    let _ = Box::pin(client.refuse(Refusal::of(status, &error))).await;
                }
                Err(error)
            }
        }
    }
}

enum Final<U> {
    Declined(Box<handshake::Declined>, U, Bytes),
    Switched(Box<handshake::Switched>, U, Bytes),
}

/// Steps (5) to (7), given up as soon as the client leaves.
async fn ask<S, C>(
    client: &mut Client<S>,
    connect: &C,
    outgoing: &Outgoing,
    body: BodyLength,
    config: &super::GatewayConfig,
) -> Result<Final<C::Stream>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    C: Connect,
{
    let mut answer = match body {
        BodyLength::None => {
            let answer = pin!(exchange::ask(connect, outgoing, &config.upgrade));
            unless_left(answer, client).await?
        }
        // Sent once, and to one upstream: it is not kept.
        body => {
            let start = pin!(Exchange::start(connect, outgoing, &config.upgrade));
            let mut exchange = unless_left(start, client).await?;
            send_body(client, &mut exchange, body, config).await?;
            unless_left(pin!(exchange.next()), client).await?
        }
    };
    loop {
        let exchange = match answer {
            Answer::Interim(exchange, response) => {
                if let Some(response) = response {
                    client.send_head(&response).await?;
                }
                *exchange
            }
            Answer::Declined(declined, upstream, early) => {
                return Ok(Final::Declined(declined, upstream, early));
            }
            Answer::Switched(switched, upstream, early) => {
                return Ok(Final::Switched(switched, upstream, early));
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
    length: BodyLength,
    config: &super::GatewayConfig,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |cause: Cause| Error::new(Phase::Request, Side::Downstream, cause);
    let mut scanner = RelayedBody::new(length);
    let mut body = Vec::new();
    loop {
        let count = scanner
            .advance(&client.early, &mut body)
            .map_err(|error| failed(error.into()))?;
        client.early.advance(count);
        exchange.send(&body).await?;
        body.clear();
        if scanner.is_complete() {
            exchange.is_asked();
            return Ok(());
        }
        let read = wire::read_some(&mut client.stream, &mut client.early, usize::MAX);
        let read = tokio::time::timeout(config.upgrade.read_timeout, read);
        let read = match wire::first(pin!(read), pin!(exchange.declines_early())).await {
            First::Left(read) => read,
            First::Right(declined) => return declined,
        };
        match read {
            Ok(Ok(0)) => return Err(failed(Cause::Closed)),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(failed(error.into())),
            Err(_) => return Err(failed(Cause::TimedOut(config.upgrade.read_timeout))),
        }
    }
}

fn continue_head() -> response::Parts {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = StatusCode::CONTINUE;
    parts
}
