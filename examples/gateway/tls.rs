//! TLS as the flags ask for it: certificates and keys from files, with a clear word about one that is wrong.

use std::io;
use std::path::Path;

use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsConnect, TlsServerConfig};
use switchover::tunnel::AnyStream;

use super::flags::{Flags, ServerUrl};

/// What clients are met with, if TLS is asked for.
pub(crate) fn acceptor(flags: &Flags) -> io::Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&flags.tls_cert, &flags.tls_key) else {
        return Ok(None);
    };
    let (chain, secret) = (read("--tls-cert", cert)?, read("--tls-key", key)?);
    let config = TlsServerConfig::from_pem(chain, secret).map_err(|error| {
        let (cert, key) = (cert.display(), key.display());
        io::Error::other(format!("--tls-cert {cert} --tls-key {key}: {error}"))
    })?;
    let acceptor = TlsAcceptor::new(config.http2()).handshake_timeout(flags.header_timeout);
    Ok(Some(acceptor))
}

/// How servers are spoken to over TLS, if any of them is. The system's roots are looked for only where they are needed.
pub(crate) fn client(flags: &Flags) -> io::Result<Option<TlsClientConfig>> {
    let mut servers = flags.routes.iter().flat_map(|(_, target)| &target.servers);
    match &flags.upstream_ca {
        Some(file) => {
            let roots = read("--upstream-ca", file)?;
            let config = TlsClientConfig::builder().only_roots(roots).build();
            let named = |error| io::Error::other(format!("--upstream-ca {}: {error}", file.display()));
            config.map(Some).map_err(named)
        }
        None if servers.any(|server| server.tls) => {
            let named =
                |error| io::Error::other(format!("--route to https or wss: {error} by --upstream-ca"));
            TlsClientConfig::system().map(Some).map_err(named)
        }
        None => Ok(None),
    }
}

fn read(flag: &str, file: &Path) -> io::Result<Vec<u8>> {
    let named = |error: io::Error| {
        let text = format!("{flag} {}: {error}", file.display());
        io::Error::new(error.kind(), text)
    };
    std::fs::read(file).map_err(named)
}

/// One server of a route.
pub(crate) enum Server {
    Plain(TcpConnect),
    Tls(TlsConnect),
}

impl Server {
    pub(crate) fn new(url: &ServerUrl, tls: Option<&TlsClientConfig>) -> io::Result<Self> {
        let authority = url.authority.as_str();
        match tls {
            Some(tls) if url.tls => TlsConnect::to(authority, tls.clone())
                .map(Server::Tls)
                .map_err(|error| io::Error::other(format!("--route to https://{authority}: {error}"))),
            _ => Ok(Server::Plain(TcpConnect::to(authority))),
        }
    }
}

impl Connect for Server {
    type Stream = AnyStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<AnyStream, ConnectError> {
        match self {
            Server::Plain(connect) => connect.connect(request).await.map(AnyStream::from),
            // Boxed: connecting in plain text must not cost what this does.
            Server::Tls(connect) => Box::pin(connect.connect(request)).await.map(AnyStream::new),
        }
    }
}
