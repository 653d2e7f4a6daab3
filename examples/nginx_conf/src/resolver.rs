//! `resolver`: names that a request leads to are looked up at the DNS servers that it says, and remembered as long as they say.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::dns::{Kind, Name};
use super::dns_exchange::{Reply, exchange};
use super::measures;
use super::tree::Directive;

/// nginx: so many names may be other names for each other.
const MOST_ALIASES: usize = 50;

/// Beyond as many, those that hold no longer are forgotten, and then all: which names are asked for, clients may say.
const MOST_NAMES: usize = 4096;

/// A `resolver` line. All locations that inherit it, of all workers, have one.
#[derive(Debug)]
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
    kinds: Vec<Kind>,
    /// `valid`: takes the place of what the servers say.
    valid: Option<Duration>,
    /// The server that is asked next: they take turns.
    next: AtomicUsize,
    known: Mutex<HashMap<Name, Arc<Entry>>>,
}

/// Whoever asks for a name that is being asked for waits for the answer.
#[derive(Debug, Default)]
struct Entry(tokio::sync::Mutex<Option<Answer>>);

#[derive(Clone, Debug)]
struct Answer {
    reply: Result<Reply, Unresolved>,
    came_at: Instant,
    valid_until: Instant,
}

/// Why there is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    NoName,
    TimedOut,
    NotFound,
    /// By the code of DNS.
    Refused(u8),
    TooManyAliases,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unresolved::NoName => "it is no name",
            Unresolved::TimedOut => "no server of the resolver has answered within resolver_timeout",
            Unresolved::NotFound => "there is no such name, or it has no address",
            Unresolved::Refused(2) => "the server of the resolver has failed (SERVFAIL)",
            Unresolved::Refused(5) => "the server of the resolver does not answer us (REFUSED)",
            Unresolved::Refused(code) => {
                return write!(f, "the server of the resolver refuses it, with code {code}");
            }
            Unresolved::TooManyAliases => "each of its names is another name for a further one",
        })
    }
}

impl Resolver {
    /// # Errors
    ///
    /// A parameter is wrong, or a server is none.
    pub(crate) fn read(line: &Directive) -> Result<Resolver, String> {
        let mut servers = Vec::new();
        let (mut has_4, mut has_6, mut valid) = (true, true, None);
        for argument in &line.arguments {
            match argument.split_once('=') {
                Some(("valid", time)) => valid = Some(measures::time(time)?),
                Some(("ipv4", switch)) => has_4 = measures::switch(switch)?,
                Some(("ipv6", switch)) => has_6 = measures::switch(switch)?,
                Some(("status_zone", _)) => {}
                Some(_) => return Err(format!("there is no parameter {argument}")),
                None => servers.extend(servers_at(argument)?),
            }
        }
        if servers.is_empty() {
            return Err("it names no server".to_owned());
        }
        let kinds = [(has_4, Kind::V4), (has_6, Kind::V6)];
        let kinds: Vec<Kind> = kinds
            .iter()
            .filter(|(is_on, _)| *is_on)
            .map(|(_, kind)| *kind)
            .collect();
        if kinds.is_empty() {
            return Err("ipv4 and ipv6 cannot both be off".to_owned());
        }
        Ok(Resolver {
            servers,
            kinds,
            valid,
            next: AtomicUsize::new(0),
            known: Mutex::default(),
        })
    }

    /// The addresses of a host: one at least, in no particular order.
    ///
    /// Dropping it gives it up; whoever waits for the same name then asks in its place.
    pub(crate) async fn addresses(&self, host: &str, limit: Duration) -> Result<Vec<IpAddr>, Unresolved> {
        let name = Name::read(host).ok_or(Unresolved::NoName)?;
        let looked_up = timeout(limit, self.follow(name)).await;
        looked_up.unwrap_or(Err(Unresolved::TimedOut))
    }

    async fn follow(&self, mut name: Name) -> Result<Vec<IpAddr>, Unresolved> {
        for _ in 0..=MOST_ALIASES {
            if name.is_root() {
                return Err(Unresolved::NotFound);
            }
            name = match self.look_up(name).await? {
                Reply::Addresses(addresses) => return Ok(addresses),
                Reply::Alias(alias) => alias,
            };
        }
        Err(Unresolved::TooManyAliases)
    }

    async fn look_up(&self, name: Name) -> Result<Reply, Unresolved> {
        let asked_at = Instant::now();
        let entry = self.entry(&name, asked_at);
        let mut answer = entry.0.lock().await;
        if let Some(known) = &*answer {
            // An answer that has come since it was asked for is the answer, whatever it says.
            if known.valid_until > Instant::now() || known.came_at >= asked_at {
                return known.reply.clone();
            }
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, ttl) = match exchange(&self.servers, first, &name, &self.kinds).await {
            Ok((reply, ttl)) => (Ok(reply), self.valid.unwrap_or(ttl)),
            // A failure is not remembered.
            Err(why) => (Err(why), Duration::ZERO),
        };
        let came_at = Instant::now();
        *answer = Some(Answer {
            reply: reply.clone(),
            came_at,
            valid_until: came_at + ttl,
        });
        reply
    }

    fn entry(&self, name: &Name, now: Instant) -> Arc<Entry> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_NAMES && !known.contains_key(name) {
            known.retain(|_, entry| entry.holds(now));
            if known.len() >= MOST_NAMES {
                known.clear();
            }
        }
        known.entry(name.clone()).or_default().clone()
    }
}

impl Entry {
    /// One that is being asked for does, too.
    fn holds(&self, now: Instant) -> bool {
        let Ok(answer) = self.0.try_lock() else {
            return true;
        };
        answer.as_ref().is_some_and(|answer| answer.valid_until > now)
    }
}

/// The addresses of a DNS server: one that is written as a name has all that the system finds for it, as in nginx.
fn servers_at(text: &str) -> Result<Vec<SocketAddr>, String> {
    let with_port = super::peer::with_port(text, 53).ok_or_else(|| format!("{text:?} is no server"))?;
    if let Ok(address) = with_port.parse() {
        return Ok(vec![address]);
    }
    let found = with_port.to_socket_addrs();
    let found = found.map_err(|why| format!("the server {text:?} is not found: {why}"))?;
    Ok(found.collect())
}
