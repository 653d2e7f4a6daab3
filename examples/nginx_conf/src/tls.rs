//! `ssl_certificate` of servers, `proxy_ssl_*` of upstreams.

use std::path::Path;
use std::sync::Arc;

use switchover::route::{HostPattern, Hosts};
use switchover::tls::rustls::crypto::ring;
use switchover::tls::rustls::server::{ClientHello, ResolvesServerCert};
use switchover::tls::rustls::sign::CertifiedKey;
use switchover::tls::rustls::{self, ServerConfig};
use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsServerConfig, certified_key};

use super::findings::{Findings, Place};
use super::route::Tls;
use super::scope::{At, Scope};

/// How the servers of a location are spoken to. Their certificates are verified, which nginx does only if it is told to.
///
/// `host` is what `proxy_pass` names, which certificates have to be for where nothing else is said.
pub(crate) fn upstream(
    place: &Place,
    scope: &Scope,
    host: &str,
    prefix: &Path,
    findings: &mut Findings,
) -> Option<Tls> {
    match &scope.upstream_verified {
        Some(At { value: true, .. }) => {}
        Some(off) => {
            let text = "proxy_ssl_verify off is not carried out: certificates are verified";
            findings.warning(&off.place, text);
        }
        None => {
            let text = "certificates are verified here; nginx does that only by proxy_ssl_verify on, and by \
                        proxy_ssl_trusted_certificate";
            findings.hint(place, text);
        }
    }
    let mut read = |file: &At<String>| read_file(file, prefix, findings);
    let mut builder = TlsClientConfig::builder();
    if let Some(roots) = &scope.upstream_roots {
        builder = builder.only_roots(read(roots)?);
    }
    if let (Some(chain), Some(key)) = (&scope.upstream_certificate, &scope.upstream_certificate_key) {
        builder = builder.client_certificate(read(chain)?, read(key)?);
    }
    let name = match &scope.upstream_name {
        Some(said) if !said.value.contains('$') => &said.value,
        Some(said) if said.value != "$proxy_host" => {
            let text = format!(
                "proxy_ssl_name with variables is not carried out: certificates have to be for {host}"
            );
            findings.warning(&said.place, text);
            host
        }
        _ => host,
    };
    // As nginx: a port is no part of it.
    let name = match name.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    };
    match builder
        .build()
        .and_then(|config| Tls::new(config, name.to_owned()))
    {
        Ok(tls) => Some(tls),
        Err(why) => {
            findings.error(place, format!("proxy_pass to https: {why}"));
            None
        }
    }
}

fn read_file(file: &At<String>, prefix: &Path, findings: &mut Findings) -> Option<Vec<u8>> {
    let path = prefix.join(&file.value);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(why) => {
            findings.error(&file.place, format!("{}: {why}", path.display()));
            None
        }
    }
}

/// The certificates of the servers at one address, by the names of the servers; none where handshakes are to be rejected.
#[derive(Debug, Default)]
pub(crate) struct Certificates(Hosts<Option<Arc<CertifiedKey>>>);

impl Certificates {
    /// Adds the certificate of a server. What is wrong with it is among the findings.
    pub(crate) fn add(
        &mut self,
        names: &[HostPattern],
        is_default: bool,
        scope: &Scope,
        place: &Place,
        prefix: &Path,
        findings: &mut Findings,
    ) {
        let rejects = scope.rejects_handshakes.as_ref().is_some_and(|on| on.value);
        let certified = match rejects {
            true => None,
            false => match of_server(scope, place, prefix, findings) {
                Some(certified) => Some(certified),
                None => return,
            },
        };
        let names = names
            .iter()
            .filter(|name| !self.0.has(name))
            .cloned()
            .collect::<Vec<_>>();
        // Names that are there already have been left out.
        let _ = match is_default {
            true => self.0.add_default(names, certified),
            false => self.0.add(names, certified),
        };
    }

    /// What clients are met with.
    pub(crate) fn acceptor(self) -> Result<TlsAcceptor, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self));
        Ok(TlsAcceptor::new(TlsServerConfig::from_rustls(config)))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.find(hello.server_name()).cloned().flatten()
    }
}

/// What a server says. None with an error among the findings.
fn of_server(
    scope: &Scope,
    place: &Place,
    prefix: &Path,
    findings: &mut Findings,
) -> Option<Arc<CertifiedKey>> {
    let (Some(chain), Some(key)) = (&scope.certificate, &scope.certificate_key) else {
        findings.error(
            place,
            "listen … ssl needs ssl_certificate and ssl_certificate_key",
        );
        return None;
    };
    let chain_pem = read_file(chain, prefix, findings)?;
    let key_pem = read_file(key, prefix, findings)?;
    let certified = certified_key(chain_pem, key_pem);
    certified
        .map(Arc::new)
        .map_err(|why| findings.error(&chain.place, format!("{}: {why}", chain.value)))
        .ok()
}
