//! Connections, by the connectors of the library, and the reason where there is none.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::diagnose::{Failure, TlsFault};
use switchover::header::Hop;
use switchover::tls::{TlsClientConfig, TlsConnect, TlsFailure};
use switchover::tunnel::AnyStream;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::clock::Clock;
use super::flags::Flags;
use super::unverified;
use super::url::Url;

/// How connections are made. The roots are read once.
pub(crate) struct Network {
    tls: Option<TlsClientConfig>,
}

impl Network {
    pub(crate) fn new(flags: &Flags) -> io::Result<Network> {
        let tls = match &flags.ca {
            _ if !flags.urls.iter().any(|url| url.secure) => None,
            _ if flags.insecure => Some(unverified::config()),
            Some(file) => Some(with_roots(file)?),
            None => Some(
                TlsClientConfig::system().map_err(|error| io::Error::other(format!("{error}; see --ca")))?,
            ),
        };
        Ok(Network { tls })
    }

    pub(crate) async fn connect(&self, url: &Url, clock: Clock) -> Result<AnyStream, Failure> {
        let connect = Staged {
            tcp: TcpConnect::to(url.address()),
            stands: AtomicBool::new(false),
        };
        let connected = timeout_at(clock.step(), self.stream(&connect, url)).await;
        connected.unwrap_or_else(|_| match connect.stands.load(Ordering::Relaxed) {
            true => Err(Failure::TlsTimedOut),
            false => Err(Failure::ConnectTimedOut),
        })
    }

    async fn stream(&self, tcp: &Staged, url: &Url) -> Result<AnyStream, Failure> {
        if !url.secure {
            let stream = tcp.tcp.stream().await;
            return stream.map(AnyStream::from).map_err(|error| meaning(&error));
        }
        let tls = self.tls.clone().ok_or(Failure::Unreachable)?;
        let name = url.authority.host();
        let connect = TlsConnect::new(tcp, name, tls).map_err(|_| Failure::Unresolved)?;
        let (head, ()) = http::Request::new(()).into_parts();
        let stream = connect.connect(ConnectRequest::new(&head, Hop::unknown())).await;
        stream.map(AnyStream::new).map_err(|error| meaning(&error))
    }
}

/// A TCP connection, and whether it stands: TLS on it may wait for ever.
struct Staged {
    tcp: TcpConnect,
    stands: AtomicBool,
}

impl Connect for &Staged {
    type Stream = TcpStream;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        let stream = self.tcp.stream().await?;
        self.stands.store(true, Ordering::Relaxed);
        Ok(stream)
    }
}

fn with_roots(file: &Path) -> io::Result<TlsClientConfig> {
    let named = |why: String| io::Error::other(format!("--ca {}: {why}", file.display()));
    let roots = std::fs::read(file).map_err(|error| named(error.to_string()))?;
    let config = TlsClientConfig::builder().only_roots(roots).build();
    config.map_err(|error| named(error.to_string()))
}

fn meaning(error: &ConnectError) -> Failure {
    match error {
        ConnectError::Resolve { .. } => Failure::Unresolved,
        ConnectError::Failed { error: source, .. } => Failure::of_connecting(source.kind()),
        ConnectError::Tls { error: source, .. } => of_tls(TlsFailure::of_handshake(source)),
        _ => Failure::Unreachable,
    }
}

pub(crate) fn of_tls(failure: TlsFailure) -> Failure {
    Failure::Tls {
        fault: fault(failure),
        hint: Some(failure.hint()),
    }
}

fn fault(failure: TlsFailure) -> TlsFault {
    match failure {
        TlsFailure::NotTls => TlsFault::NotTls,
        TlsFailure::NoCommonProtocol => TlsFault::NoCommonProtocol,
        TlsFailure::Expired
        | TlsFailure::NotYetValid
        | TlsFailure::WrongName
        | TlsFailure::UnknownIssuer
        | TlsFailure::BadCertificate
        | TlsFailure::NoCertificate => TlsFault::Certificate,
        TlsFailure::CertificateRequired | TlsFailure::CertificateRefused => TlsFault::ClientCertificate,
        _ => TlsFault::Other,
    }
}
