//! What this host lacks when a connection cannot be made, as distinct from what an upstream has done.
//!
//! It must not know connectors: it reads errors of the system, which any of them may return.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

/// What this host has run out of. No upstream is to blame for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shortage {
    /// File descriptors, or memory of the kernel: `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`. A connection to another upstream
    /// would fail as well.
    Resources,
    /// A local address and port for connections to this upstream: `EADDRNOTAVAIL`, or `EADDRINUSE` where the source address is
    /// [chosen by the caller](super::TcpConnect::local_address). Ports are counted for each upstream address, so another upstream may
    /// still be reached; those of a chosen source address are counted for all upstreams together.
    LocalAddress,
}

impl Shortage {
    /// In a word, for logs and metrics: `out-of-resources`, `no-local-address`. None of them changes in a minor version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Shortage::Resources => "out-of-resources",
            Shortage::LocalAddress => "no-local-address",
        }
    }

    /// What an error of the system says that this host lacks. None where it says something of the peer or the network.
    ///
    /// ```
    /// use std::io;
    /// use switchover::connect::Shortage;
    ///
    /// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    /// assert_eq!(Shortage::of(&refused), None);
    /// let no_address = io::Error::from(io::ErrorKind::AddrNotAvailable);
    /// assert_eq!(Shortage::of(&no_address), Some(Shortage::LocalAddress));
    /// ```
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Shortage> {
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse, _) => Some(Shortage::LocalAddress),
            (io::ErrorKind::OutOfMemory, _) => Some(Shortage::Resources),
            (_, Some(code)) if RESOURCES.contains(&code) => Some(Shortage::Resources),
            _ => None,
        }
    }

    /// The error of a resolver, or what is behind it.
    ///
    /// A resolver that can open neither a file nor a socket says that there is no such name. Whether that was so shows where
    /// the same few descriptors are opened here.
    pub(super) fn behind(error: io::Error) -> io::Error {
        let mut opened = Vec::new();
        for _ in 0..DESCRIPTORS_OF_RESOLVER {
            match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) {
                Ok(socket) => opened.push(socket),
                Err(failure) if Shortage::of(&failure) == Some(Shortage::Resources) => return failure,
                // A host without IPv4, for example: it says nothing.
                Err(_) => break,
            }
        }
        error
    }
}

/// How many descriptors a resolver may have open at the same time: two sockets, a file, a library.
const DESCRIPTORS_OF_RESOLVER: usize = 4;

/// `ENFILE`, `EMFILE`, `ENOMEM`, `ENOBUFS`. The standard library has no kinds for them.
#[cfg(any(target_os = "linux", target_os = "android"))]
const RESOURCES: [i32; 4] = [23, 24, 12, 105];
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const RESOURCES: [i32; 4] = [23, 24, 12, 55];
/// `WSAEMFILE`, `WSAENOBUFS`.
#[cfg(not(unix))]
const RESOURCES: [i32; 2] = [10024, 10055];

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_an_error_says_of_this_host() {
        let (resources, address) = (Some(Shortage::Resources), Some(Shortage::LocalAddress));
        for (errno, expected) in [
            (Errno::MFILE, resources),
            (Errno::NFILE, resources),
            (Errno::NOBUFS, resources),
            (Errno::NOMEM, resources),
            (Errno::ADDRNOTAVAIL, address),
            (Errno::ADDRINUSE, address),
            (Errno::CONNREFUSED, None),
            (Errno::CONNRESET, None),
            (Errno::TIMEDOUT, None),
            (Errno::HOSTUNREACH, None),
            (Errno::NETUNREACH, None),
            (Errno::ACCESS, None),
            (Errno::AGAIN, None),
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(Shortage::of(&error), expected, "{error}");
        }
    }

    #[test]
    fn an_error_of_a_resolver_stays_what_it_is_where_nothing_lacks() {
        let error = Shortage::behind(io::Error::other("no such name"));
        assert_eq!(error.to_string(), "no such name");
    }
}
