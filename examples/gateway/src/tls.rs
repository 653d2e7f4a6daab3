//! TLS as the flags ask for it: certificates and keys from files, with a clear word about one that is wrong.

use std::io;
use std::path::Path;

use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsServerConfig};

use super::flags::Flags;

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
