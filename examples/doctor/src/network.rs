//! Connections, by the connectors of the library, and what it means that there is none.

use std::io;
use std::path::Path;

use switchover::connect::{ConnectError, TcpConnect};
use switchover::diagnose::{Failure, TlsFault};
use switchover::tls::{TlsClientConfig, TlsConnect, TlsFailure};
use switchover::tunnel::AnyStream;
use tokio::time::{Duration, timeout};

use super::flags::Flags;
use super::unverified;
use super::url::Url;

/// How connections are made. The roots are read once.
pub(crate) struct Network {
    tls: Option<TlsClientConfig>,
    timeout: Duration,
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
        Ok(Network {
            tls,
            timeout: flags.timeout,
        })
    }

    pub(crate) async fn connect(&self, url: &Url) -> Result<AnyStream, Failure> {
        let connected = timeout(self.timeout, self.stream(url)).await;
        connected.unwrap_or(Err(Failure::ConnectTimedOut))
    }

    async fn stream(&self, url: &Url) -> Result<AnyStream, Failure> {
        let address = url.address();
        if !url.secure {
            let stream = TcpConnect::to(address).stream().await;
            return stream.map(AnyStream::from).map_err(|error| meaning(&error));
        }
        let tls = self.tls.clone().ok_or(Failure::Unreachable)?;
        let connect = TlsConnect::to(address, tls).map_err(|_| Failure::Unresolved)?;
        let stream = connect.stream().await;
        stream.map(AnyStream::new).map_err(|error| meaning(&error))
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
        ConnectError::Failed { source, .. } => Failure::of_connecting(source.kind()),
        ConnectError::Tls { source, .. } => {
            let failure = TlsFailure::of_handshake(source);
            Failure::Tls {
                fault: fault(failure),
                hint: Some(failure.hint()),
            }
        }
        _ => Failure::Unreachable,
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
