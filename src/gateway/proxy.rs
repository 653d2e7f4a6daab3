//! Law: steps (4) to (8) of the walk for one upgrade, with the client watched while the upstream is asked.

use std::future::Future;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::response;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{Client, Refusal};
use super::{Incoming, Never, Outcome};
use crate::connect::{Connect, ConnectRequest};
use crate::error::{Cause, Error, Phase};
use crate::exchange::{Answer, Exchange};
use crate::handshake::PendingUpgrade;
use crate::head::{BodyLength, BodyScanner};
use crate::header::{Hop, Protocol};
use crate::tunnel::{Tunnel, TunnelConfig};
use crate::wire::{self, First};
use crate::{Side, handshake};

/// Where the handshake has led.
enum Handshake<S, U> {
    Switched(Box<Ready<S, U>>),
    Declined(StatusCode),
}

/// Two sides that have agreed, and what each has said already.
struct Ready<S, U> {
    protocol: Protocol,
    downstream: S,
    upstream: U,
    from_downstream: Bytes,
    from_upstream: Bytes,
    config: TunnelConfig,
}

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
        self.proxy_until::<C, Never>(connect, std::future::pending())
            .await
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
        let ready = match Box::pin(self.handshake(connect)).await? {
            Handshake::Switched(ready) => ready,
            Handshake::Declined(status) => return Ok(Outcome::Declined(status)),
        };
        let Ready {
            protocol,
            downstream,
            upstream,
            from_downstream,
            from_upstream,
            config,
        } = *ready;
        // (8)
        let tunnel = Tunnel::new(downstream, upstream)
            .config(config)
            .leftovers(from_downstream, from_upstream)
            .drain(drain)
            .run();
        match tunnel.await {
            Ok(traffic) => Ok(Outcome::Tunnelled { protocol, traffic }),
            Err(error) => Err(Error::new(Phase::Tunnel, error.side(), Cause::Tunnel(error))),
        }
    }

    async fn handshake<C: Connect>(self, connect: &C) -> Result<Handshake<S, C::Stream>, Error> {
        let Incoming {
            mut client,
            mut request,
            mut head,
            hop,
            config,
        } = self;
        let body = request.body_length();
        if body != BodyLength::None && request.take_expectation(&mut head) {
            client.send_head(&continue_head()).await?;
        }
        let (outgoing, pending) = request.forward(*head, &hop); // (4)
        let asked = Asked {
            outgoing,
            pending,
            hop,
            body,
        };
        let answer = ask(&mut client, connect, asked, &config).await;
        match answer {
            Ok(Final::Declined(declined, upstream, early)) => {
                let relayed = client
                    .relay(*declined, upstream, early, config.read_timeout)
                    .await;
                relayed.map(Handshake::Declined)
            }
            Ok(Final::Switched(switched, upstream, from_upstream)) => {
                // From here on not one more byte of HTTP goes to this client.
                let (response, protocol) = switched.into_response();
                client.send_head(&response).await?;
                Ok(Handshake::Switched(Box::new(Ready {
                    protocol,
                    downstream: client.stream,
                    upstream,
                    from_downstream: client.early.freeze(),
                    from_upstream,
                    config: config.tunnel.clone(),
                })))
            }
            Err(error) => {
                if let Some(status) = error.status() {
                    // The client may be gone too; the upstream's failure is the news.
                    let _ = client.refuse(Refusal::of(status, &error)).await;
                }
                Err(error)
            }
        }
    }
}

struct Asked {
    outgoing: http::request::Parts,
    pending: PendingUpgrade,
    hop: Hop,
    body: BodyLength,
}

enum Final<U> {
    Declined(Box<handshake::Declined>, U, Bytes),
    Switched(Box<handshake::Switched>, U, Bytes),
}

/// Steps (5) to (7), given up as soon as the client leaves.
async fn ask<S, C>(
    client: &mut Client<S>,
    connect: &C,
    asked: Asked,
    config: &super::GatewayConfig,
) -> Result<Final<C::Stream>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Connect,
{
    let Asked {
        outgoing,
        pending,
        hop,
        body,
    } = asked;
    let request = ConnectRequest::new(&outgoing, hop);
    let start = Exchange::start(connect, request, pending, config.exchange);
    let mut exchange = match wire::first(start, client.left()).await {
        First::Left(exchange) => exchange?,
        First::Right(left) => return Err(left),
    };
    if body != BodyLength::None {
        send_body(client, &mut exchange, body, config).await?;
    }
    loop {
        let answer = match wire::first(exchange.next(), client.left()).await {
            First::Left(answer) => answer?,
            First::Right(left) => return Err(left),
        };
        exchange = match answer {
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
    }
}

/// Forwards the request's body as it is framed, unless the upstream declines before it is whole. What follows it
/// waits for the switch.
async fn send_body<S, U>(
    client: &mut Client<S>,
    exchange: &mut Exchange<U>,
    length: BodyLength,
    config: &super::GatewayConfig,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |cause: Cause| Error::new(Phase::Request, Side::Downstream, cause);
    let mut scanner = BodyScanner::new(length);
    loop {
        let count = scanner
            .advance(&client.early)
            .map_err(|error| failed(error.into()))?;
        let body: BytesMut = client.early.split_to(count);
        exchange.send(&body).await?;
        if scanner.is_complete() {
            return Ok(());
        }
        let read = wire::read_some(&mut client.stream, &mut client.early, usize::MAX);
        let read = tokio::time::timeout(config.read_timeout, read);
        let read = match wire::first(read, exchange.declines_early()).await {
            First::Left(read) => read,
            First::Right(declined) => return declined,
        };
        match read {
            Ok(Ok(0)) => return Err(failed(Cause::Closed)),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(failed(error.into())),
            Err(_) => return Err(failed(Cause::TimedOut(config.read_timeout))),
        }
    }
}

fn continue_head() -> response::Parts {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = StatusCode::CONTINUE;
    parts
}
