//! `ssl_certificate` of servers, `proxy_ssl_*` of upstreams.

use std::path::Path;
use std::sync::Arc;

use switchover::route::{HostPattern, Hosts};
use switchover::tls::rustls::crypto::ring;
use switchover::tls::rustls::pki_types::CertificateDer;
use switchover::tls::rustls::pki_types::pem::PemObject;
use switchover::tls::rustls::server::danger::ClientCertVerifier;
use switchover::tls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use switchover::tls::rustls::sign::CertifiedKey;
use switchover::tls::rustls::{RootCertStore, ServerConfig};
use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsServerConfig, certified_key};

use super::findings::{Findings, Place};
use super::location::Surroundings;
use super::proxy_pass::Target;
use super::regex::Regex;
use super::scope::{At, Scope};
use super::unverified;

/// How the servers of a location are spoken to.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamTls {
    pub(crate) config: TlsClientConfig,
    /// `proxy_ssl_name`, where it is a name.
    name: Option<String>,
}

impl UpstreamTls {
    /// The name that certificates have to be for: what `proxy_pass` names, where nothing else is said. As in nginx, a port is no
    /// part of it.
    pub(crate) fn name_for(&self, target: &Target) -> String {
        let name = self.name.as_ref().unwrap_or(&target.host);
        match name.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
            _ => name.clone(),
        }
    }
}

/// How TLS is spoken to the servers of a location. Their certificates are verified unless `proxy_ssl_verify off` says otherwise;
/// nginx does that only if it is told to.
pub(crate) fn upstream(
    place: &Place,
    scope: &Scope,
    has_variables: bool,
    around: &mut Surroundings<'_>,
) -> Option<UpstreamTls> {
    let is_verified = match &scope.upstream_verified {
        Some(said) => said.value,
        None => !around.limits.nginx_tls,
    };
    let findings = &mut *around.findings;
    match &scope.upstream_verified {
        Some(At { value: true, .. }) => {}
        Some(off) => {
            let text = "whoever stands between takes the upstream's place: the certificate is not verified. Write proxy_ssl_verify \
                        on; and proxy_ssl_trusted_certificate, with the upstream's own certificate if nothing else has signed it";
            findings.hint(&off.place, text);
        }
        None if around.limits.nginx_tls => {}
        None if has_variables => {}
        None => {
            let text = "certificates are verified here; nginx does that only by proxy_ssl_verify on, and by \
                        proxy_ssl_trusted_certificate. For an upstream whose certificate nobody knows write proxy_ssl_verify off;";
            findings.hint(place, text);
        }
    }
    let prefix = around.prefix;
    let mut read = |file: &At<String>| read_file(file, prefix, findings);
    let identity = match (&scope.upstream_certificate, &scope.upstream_certificate_key) {
        (Some(chain), Some(key)) => Some((read(chain)?, read(key)?)),
        _ => None,
    };
    let config = if is_verified {
        let mut builder = TlsClientConfig::builder();
        if let Some(roots) = &scope.upstream_roots {
            builder = builder.only_roots(read(roots)?);
        }
        if let Some((chain, key)) = identity {
            builder = builder.client_certificate(chain, key);
        }
        builder.build().map_err(|why| why.to_string())
    } else {
        unverified::config(identity)
    };
    let name = match &scope.upstream_name {
        Some(said) if !said.value.contains('$') => Some(said.value.clone()),
        Some(said) if !matches!(&*said.value, "$proxy_host" | "${proxy_host}") => {
            let text = "proxy_ssl_name with variables is not carried out: certificates have to be for the host in proxy_pass";
            findings.warning(&said.place, text);
            None
        }
        _ => None,
    };
    match config {
        Ok(config) => Some(UpstreamTls { config, name }),
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

/// `ssl_verify_client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    Off,
    On,
    Optional,
}

impl Verify {
    pub(crate) fn read(text: &str) -> Result<Verify, String> {
        match text {
            "off" => Ok(Verify::Off),
            "on" => Ok(Verify::On),
            "optional" => Ok(Verify::Optional),
            "optional_no_ca" => Err("optional_no_ca is not carried out: any certificate would do".to_owned()),
            other => Err(format!("{other:?} is neither on, off nor optional")),
        }
    }
}

/// The certificates of a server; none where handshakes are to be rejected.
type Own = Option<Vec<Arc<CertifiedKey>>>;

/// The certificates of the servers at one address, by the names of the servers.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    of_names: Hosts<Own>,
    regexes: Vec<(Regex, Own)>,
    /// A server without a certificate takes that of the default.
    default: Option<Own>,
}

impl Certificates {
    /// Adds the certificates of a server. What is wrong with them is among the findings.
    pub(crate) fn add(
        &mut self,
        names: &[HostPattern],
        regexes: &[Regex],
        is_default: bool,
        scope: &Scope,
        around: &mut Surroundings<'_>,
    ) {
        let rejects = scope.rejects_handshakes.as_ref().is_some_and(|on| on.value);
        let own = match rejects {
            true => None,
            false if scope.certificates.is_empty() => return,
            false => Some(of_server(scope, around)),
        };
        if is_default || self.default.is_none() {
            self.default = Some(own.clone());
        }
        let names = names.iter().filter(|name| !self.of_names.has(name)).cloned();
        let names: Vec<_> = names.collect();
        // Names that are there already have been left out.
        let _ = self.of_names.add(names, own.clone());
        self.regexes
            .extend(regexes.iter().map(|regex| (regex.clone(), own.clone())));
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.default.is_none()
    }

    fn find(&self, name: Option<&str>) -> Option<&Own> {
        let by_regex = || {
            let name = name?;
            let mut regexes = self.regexes.iter();
            regexes
                .find(|(regex, _)| regex.is_match(name).unwrap_or(false))
                .map(|(_, own)| own)
        };
        self.of_names
            .find_named(name)
            .or_else(by_regex)
            .or(self.default.as_ref())
    }

    /// What clients are met with. `scope` is that of the default server: what it says of certificates of clients is for all.
    pub(crate) fn acceptor(
        self,
        scope: &Scope,
        is_http2: bool,
        around: &mut Surroundings<'_>,
    ) -> Option<TlsAcceptor> {
        let place = scope.certificates.first().map(|at| at.place.clone());
        let verifier = match client_verifier(scope, around) {
            Ok(verifier) => verifier,
            Err(()) => return None,
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = match builder {
            Ok(builder) => builder,
            Err(why) => {
                if let Some(place) = place {
                    around.findings.error(&place, why.to_string());
                }
                return None;
            }
        };
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(self));
        if is_http2 {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        Some(TlsAcceptor::new(
            TlsServerConfig::from_rustls(config).session_tickets(),
        ))
    }
}

/// Who is believed about clients. With `on` a client without a certificate is refused by a 400 later, as in nginx.
fn client_verifier(
    scope: &Scope,
    around: &mut Surroundings<'_>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, ()> {
    let Some(verify) = scope
        .verify_client
        .as_ref()
        .filter(|said| said.value != Verify::Off)
    else {
        return Ok(None);
    };
    let Some(roots) = &scope.client_roots else {
        around
            .findings
            .error(&verify.place, "ssl_verify_client needs ssl_client_certificate");
        return Err(());
    };
    let pem = read_file(roots, around.prefix, around.findings).ok_or(())?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem).flatten() {
        let _ = store.add(certificate);
    }
    let provider = Arc::new(ring::default_provider());
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
        .allow_unauthenticated()
        .build();
    built.map(Some).map_err(|why| {
        around
            .findings
            .error(&roots.place, format!("{}: {why}", roots.value))
    })
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = self.find(hello.server_name())?.as_ref()?;
        let schemes = hello.signature_schemes();
        // The first whose kind of key the client can verify.
        let fits = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        own.iter().find(fits).or(own.first()).cloned()
    }
}

/// What a server says. What is wrong with it is among the findings.
fn of_server(scope: &Scope, around: &mut Surroundings<'_>) -> Vec<Arc<CertifiedKey>> {
    let mut own = Vec::new();
    for (number, chain) in scope.certificates.iter().enumerate() {
        let Some(key) = scope.certificate_keys.get(number) else {
            let text = format!("ssl_certificate {} has no ssl_certificate_key", chain.value);
            around.findings.error(&chain.place, text);
            continue;
        };
        if chain.value.contains('$') || key.value.contains('$') {
            around
                .findings
                .error(&chain.place, "ssl_certificate with variables is not carried out");
            continue;
        }
        let chain_pem = read_file(chain, around.prefix, around.findings);
        let key_pem = read_file(key, around.prefix, around.findings);
        let (Some(chain_pem), Some(key_pem)) = (chain_pem, key_pem) else {
            continue;
        };
        match certified_key(chain_pem, key_pem) {
            Ok(certified) => own.push(Arc::new(certified)),
            Err(why) => around
                .findings
                .error(&chain.place, format!("{}: {why}", chain.value)),
        }
    }
    own
}
