//! A gateway that keeps accounts: every client pays for the bytes that arrived, and for no others.
//!
//! The gateway is `switchover`'s. What is this crate's own is the bill, and that it is right whatever the network does:
//! `tests/` has that rehearsed.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchover::tunnel::{End, Traffic};
use switchover::{Connect, Error, Gateway, Outcome, TunnelConfig};
use tokio::io::{AsyncRead, AsyncWrite};

/// What a connection has cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// Bytes that the origin has taken.
    pub up: u64,
    /// Bytes that the client has taken.
    pub down: u64,
    pub verdict: Verdict,
}

/// Whether a connection was worth its money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both sides said all that they had to say.
    Whole,
    /// It ended before it was complete.
    CutShort(String),
    /// There was no tunnel, so there is nothing to pay.
    NotServed(String),
}

/// A gateway with accounts. Cheap to clone.
#[derive(Debug)]
pub struct Metered<C> {
    gateway: Gateway<C>,
    accounts: Arc<Mutex<HashMap<IpAddr, u64>>>,
}

impl<C> Clone for Metered<C> {
    fn clone(&self) -> Self {
        Metered {
            gateway: self.gateway.clone(),
            accounts: self.accounts.clone(),
        }
    }
}

impl<C: Connect> Metered<C> {
    /// A gateway to what `connect` connects to, with empty accounts.
    pub fn new(connect: C, tunnel: TunnelConfig) -> Self {
        Metered {
            gateway: Gateway::builder(connect).tunnel(tunnel).build(),
            accounts: Arc::default(),
        }
    }

    /// Serves a connection to its end, and charges the client for it.
    pub async fn serve<S>(&self, stream: S, client: IpAddr) -> Bill
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let bill = match self.gateway.serve(stream, client).await {
            Ok(outcome) => Bill::of(outcome),
            Err(error) => Bill::of_failure(&error),
        };
        *self.accounts().entry(client).or_default() += bill.up + bill.down;
        bill
    }

    /// What a client has to pay for.
    pub fn account(&self, client: IpAddr) -> u64 {
        self.accounts().get(&client).copied().unwrap_or_default()
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<IpAddr, u64>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bill {
    fn of<S>(outcome: Outcome<S>) -> Self {
        match outcome {
            Outcome::Tunnelled { traffic, .. } => Bill::tunnelled(&traffic),
            Outcome::Rejected(why) => Bill::nothing(why),
            Outcome::Declined(status) => Bill::nothing(format_args!("the origin said {status}")),
            Outcome::Ordinary(..) => Bill::nothing("no upgrade"),
            _ => Bill::nothing("no request"),
        }
    }

    fn of_failure(error: &Error) -> Self {
        match error.traffic() {
            // Also a tunnel that has failed knows what it had delivered.
            Some(traffic) => Bill::tunnelled(traffic),
            None => Bill::nothing(format_args!(
                "{} failed, {}: {error}",
                error.side(),
                error.phase()
            )),
        }
    }

    fn tunnelled(traffic: &Traffic) -> Self {
        Bill {
            up: traffic.from_downstream(),
            down: traffic.from_upstream(),
            verdict: match traffic.end() {
                End::Closed { .. } => Verdict::Whole,
                other => Verdict::CutShort(other.to_string()),
            },
        }
    }

    fn nothing(why: impl fmt::Display) -> Self {
        Bill {
            up: 0,
            down: 0,
            verdict: Verdict::NotServed(why.to_string()),
        }
    }
}
