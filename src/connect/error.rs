//! Why there is no connection, and whose fault that is.

use std::io;

use super::{AttemptOutcome, Shortage};

/// Why there is no upstream connection. The answer to the client is 502, or 504 where an address was given up for time, or
/// 503 where all servers are full or this host lacks what a connection needs ([`shortage`](ConnectError::shortage)).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name does not resolve.
    #[error("the name {name} does not resolve: {error}")]
    Resolve {
        /// Host and port as configured.
        name: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// Nobody accepts connections at any address that the name has.
    #[error("no connection to {name}: {error}")]
    Failed {
        /// Host and port as configured.
        name: String,
        /// The error of the last address tried. [`TimedOut`](io::ErrorKind::TimedOut) is answered 504.
        error: io::Error,
    },
    /// An option of the socket, or its source address, could not be set: [`TcpConnect::on_socket`](super::TcpConnect::on_socket),
    /// [`TcpConnect::local_address`](super::TcpConnect::local_address).
    #[error("no socket for {name}: an option or the source address could not be set: {error}")]
    Socket {
        /// Host and port as configured.
        name: String,
        /// What the system or the caller's closure said.
        error: io::Error,
    },
    /// The upstream does not speak HTTP/2, or its connection has failed before it had said how it does.
    #[error("no HTTP/2 connection to the upstream, which may speak HTTP/1.1 only: {0}")]
    Http2(io::Error),
    /// The upstream speaks HTTP/2 and takes no extended CONNECT (RFC 8441, section 3).
    #[error(
        "the upstream's HTTP/2 does not enable the extended CONNECT protocol (SETTINGS_ENABLE_CONNECT_PROTOCOL)"
    )]
    NoExtendedConnect,
    /// The connector does not lead anywhere that this request could go.
    #[error("the request cannot go to this upstream: {0}")]
    Unsuited(Box<dyn std::error::Error + Send + Sync>),
    /// The connection stands, but the peer does not speak TLS on it as it has to, or its certificate is not accepted.
    #[error("no TLS with {name}: {error}. {hint}")]
    Tls {
        /// The name that the peer was asked for, and that its certificate has to be for.
        name: String,
        /// What has failed.
        error: io::Error,
        /// What to change.
        hint: &'static str,
    },
    /// All servers have as many tunnels as they may.
    #[error("every upstream has as many tunnels as it may")]
    Full,
    /// There is no upstream to connect to at all.
    #[error("there is no upstream to connect to")]
    NoUpstream,
}

impl ConnectError {
    /// In a word, for logs and metrics; none of them changes in a minor version.
    ///
    /// `unresolved`, `refused`, `timed-out`, `unreachable` (any other failure), `no-socket`, `no-http2`, `no-extended-connect`,
    /// `unsuited`, `no-tls`, `full`, `no-upstream`; of whatever fails for want of resources of this host the name of the
    /// [`Shortage`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        if let Some(shortage) = self.shortage() {
            return shortage.name();
        }
        match self {
            ConnectError::Resolve { .. } => "unresolved",
            ConnectError::Failed { error, .. } => match error.kind() {
                io::ErrorKind::ConnectionRefused => "refused",
                io::ErrorKind::TimedOut => "timed-out",
                _ => "unreachable",
            },
            ConnectError::Socket { .. } => "no-socket",
            ConnectError::Http2(_) => "no-http2",
            ConnectError::NoExtendedConnect => "no-extended-connect",
            ConnectError::Unsuited(_) => "unsuited",
            ConnectError::Tls { .. } => "no-tls",
            ConnectError::Full => "full",
            ConnectError::NoUpstream => "no-upstream",
        }
    }

    /// What this host lacks, if that is why there is no connection, whatever the variant.
    ///
    /// The answer to the client is 503 then, and no server of a [`Group`](crate::upstream::Group) is ejected for it. A
    /// connector of one's own has nothing to do for that but to pass on the error of the system as the `error`.
    #[must_use]
    pub fn shortage(&self) -> Option<Shortage> {
        match self {
            ConnectError::Resolve { error, .. }
            | ConnectError::Failed { error, .. }
            | ConnectError::Tls { error, .. }
            | ConnectError::Http2(error) => Shortage::of(error),
            _ => None,
        }
    }

    pub(crate) fn is_for_time(&self) -> bool {
        matches!(self, ConnectError::Failed { error, .. } if error.kind() == io::ErrorKind::TimedOut)
    }

    /// Whether nothing has been tried, because there is nothing to be tried (any more).
    pub(crate) fn is_exhaustion(&self) -> bool {
        matches!(self, ConnectError::Full | ConnectError::NoUpstream)
    }

    /// What it says of the place that was tried.
    pub(crate) fn outcome(&self) -> AttemptOutcome {
        if let Some(shortage) = self.shortage() {
            return AttemptOutcome::Shortage(shortage);
        }
        match self {
            error if error.is_for_time() => AttemptOutcome::TimedOut,
            // The fault of the request or of this host's settings, not the place's.
            ConnectError::Unsuited(_) | ConnectError::Socket { .. } => AttemptOutcome::GivenUp,
            _ => AttemptOutcome::Failed,
        }
    }
}
