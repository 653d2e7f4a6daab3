//! The settings of a server: how it is connected to, and how much of the requests it gets.
//!
//! Knows one server's settings. It must not know how the server is doing.

use std::time::Duration;

use super::condition::Tolerance;
use crate::connect::TcpConnect;
use crate::tunnel::Cap;

/// A server of a [`Group`](super::Group): how to connect to it, and how much of the requests it gets.
///
/// ```
/// use std::time::Duration;
/// use switchover::upstream::Server;
///
/// let large = Server::to("10.0.0.1:9000").weight(3).max_tunnels(20_000);
/// let spare = Server::to("10.0.0.9:9000").backup().max_fails(2).fail_timeout(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug)]
pub struct Server<C = TcpConnect> {
    pub(super) name: String,
    pub(super) connect: C,
    pub(super) weight: u32,
    pub(super) backup: bool,
    pub(super) cap: Cap,
    pub(super) tolerance: Tolerance,
}

impl Server<TcpConnect> {
    /// A server at a host and port, over TCP: [`TcpConnect::to`].
    ///
    /// # Panics
    ///
    /// As [`TcpConnect::to`], if it is no host and port.
    #[track_caller]
    pub fn to(authority: impl AsRef<str>) -> Self {
        Server::new(authority.as_ref(), TcpConnect::to(&authority))
    }
}

impl<C> Server<C> {
    /// A server that is connected to in another way: over TLS, over HTTP/2, from a source address, with a socket of the caller's.
    ///
    /// Its name distinguishes it from others, and keys belong to it ([`Balance::Hash`](super::Balance::Hash)): gateways that
    /// have to agree about keys have to call their servers the same.
    pub fn new(name: impl Into<String>, connect: C) -> Self {
        Server {
            name: name.into(),
            connect,
            weight: 1,
            backup: false,
            cap: Cap::unlimited(),
            tolerance: Tolerance::default(),
        }
    }

    /// How much of the requests it gets, beside the others. Default 1. Zero is taken for one: a server that is to get none is
    /// [set down](super::Group::set_down).
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight.max(1);
        self
    }

    /// It gets requests only if none of those that are no backups can.
    #[must_use]
    pub fn backup(mut self) -> Self {
        self.backup = true;
        self
    }

    /// How many tunnels it may have, those included that are on their way. Default: no limit.
    ///
    /// Ordinary requests are not counted, unless the group [counts them](super::Builder::count_requests). Where all servers
    /// are full, the client gets a 503.
    #[must_use]
    pub fn max_tunnels(self, limit: usize) -> Self {
        self.cap(Cap::new(limit))
    }

    /// What counts its tunnels, and limits them: for servers that are in several groups. Default: one of its own, without
    /// a limit.
    #[must_use]
    pub fn cap(mut self, cap: Cap) -> Self {
        self.cap = cap;
        self
    }

    /// How many failures within the [`fail_timeout`](Server::fail_timeout) eject it. Zero: any number. Default 1, as
    /// nginx.
    #[must_use]
    pub fn max_fails(mut self, failures: u32) -> Self {
        self.tolerance.max_fails = failures;
        self
    }

    /// The time in which failures are counted, and for which the server is ejected then. Default 10 seconds, as nginx.
    ///
    /// Each time that it fails again when it is tried after that, it is ejected for twice as long, up to the
    /// [longest](Server::max_ejection) time. All these times are shortened or lengthened by chance, by a quarter at
    /// most.
    #[must_use]
    pub fn fail_timeout(mut self, time: Duration) -> Self {
        self.tolerance.fail_timeout = time;
        self
    }

    /// The longest ejection, if its `fail_timeout` is not longer. Default 2 minutes.
    #[must_use]
    pub fn max_ejection(mut self, time: Duration) -> Self {
        self.tolerance.max_ejection = time;
        self
    }

    /// Counts failures as nginx does: a success forgives none within the [`fail_timeout`](Server::fail_timeout) after the last, and
    /// without a success none is ever forgiven. Default: any success forgives all.
    ///
    /// A server that fails now and then among many successes is ejected by it.
    #[must_use]
    pub fn keep_failures(mut self) -> Self {
        self.tolerance.keeps_failures = true;
        self
    }
}
