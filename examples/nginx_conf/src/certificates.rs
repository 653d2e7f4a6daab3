//! `ssl_certificate` of servers, each with what it says of the certificates of clients; and which of them a client meets.

use std::sync::Arc;

use switchover::route::{HostPattern, Hosts};
use switchover::tls::rustls::ServerConfig;
use switchover::tls::rustls::crypto::ring;
use switchover::tls::rustls::server::{ClientHello, ResolvesServerCert};
use switchover::tls::rustls::sign::CertifiedKey;
use switchover::tls::{TlsAcceptor, TlsServerConfig, certified_key};

use super::client_certificates::Clients;
use super::location::Surroundings;
use super::regex::Regex;
use super::scope::Scope;
use super::tls::read_file;
use super::tls_versions::Versions;

/// What a server speaks TLS with.
#[derive(Debug)]
struct Context {
    config: TlsServerConfig,
    /// The same, with HTTP/2 offered.
    with_http2: TlsServerConfig,
    /// None asks for no certificates of clients.
    clients: Option<Arc<Clients>>,
}

/// What a name leads to.
#[derive(Clone, Debug)]
enum Own {
    Context(Arc<Context>),
    /// A server without a certificate has that of the default, with all that the default says of clients.
    Default,
    /// `ssl_reject_handshake`.
    Rejects,
}

/// What the servers at one address speak TLS with, by the names of the servers.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    of_names: Hosts<Own>,
    regexes: Vec<(Regex, Own)>,
    default: Option<Own>,
    versions: Versions,
}

impl Certificates {
    /// None yet. These versions of TLS are spoken: as the default server says, for every server.
    pub(crate) fn speaking(versions: Versions) -> Self {
        Certificates {
            versions,
            ..Certificates::default()
        }
    }

    /// Adds those of a server. What is wrong with them is among the findings.
    pub(crate) fn add(
        &mut self,
        names: &[HostPattern],
        regexes: &[Regex],
        is_default: bool,
        (scope, clients): (&Scope, Option<&Arc<Clients>>),
        around: &mut Surroundings<'_>,
    ) {
        let rejects = scope.rejects_handshakes.as_ref().is_some_and(|on| on.value);
        let own = match rejects {
            true => Own::Rejects,
            false if scope.certificates.is_empty() => Own::Default,
            false => match context(scope, clients, &self.versions, around) {
                Some(context) => Own::Context(Arc::new(context)),
                None => Own::Rejects,
            },
        };
        let is_first = self.default.is_none() && !matches!(own, Own::Default);
        if is_default || is_first {
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
        matches!(self.default, None | Some(Own::Default))
    }

    fn find(&self, name: Option<&str>) -> Option<&Arc<Context>> {
        let by_regex = || {
            let name = name?;
            let mut regexes = self.regexes.iter();
            regexes
                .find(|(regex, _)| regex.is_match(name).unwrap_or(false))
                .map(|(_, own)| own)
        };
        let own = self.of_names.find_named(name).or_else(by_regex);
        let own = match own {
            None | Some(Own::Default) => self.default.as_ref(),
            own => own,
        };
        match own? {
            Own::Context(context) => Some(context),
            Own::Default | Own::Rejects => None,
        }
    }

    /// Whose certificates are believed of a client that has asked for this name.
    pub(crate) fn clients(&self, name: Option<&str>) -> Option<&Arc<Clients>> {
        self.find(name)?.clients.as_ref()
    }

    /// What clients are met with.
    pub(crate) fn acceptor(self: &Arc<Self>, is_http2: bool) -> TlsAcceptor {
        let certificates = self.clone();
        TlsAcceptor::by_client_hello(move |hello| {
            let context = certificates.find(hello.server_name())?;
            let config = if is_http2 {
                &context.with_http2
            } else {
                &context.config
            };
            Some(config.clone())
        })
    }
}

/// What a server says.
fn context(
    scope: &Scope,
    clients: Option<&Arc<Clients>>,
    versions: &Versions,
    around: &mut Surroundings<'_>,
) -> Option<Context> {
    let place = scope.certificates.first().map(|at| at.place.clone())?;
    let own = of_server(scope, around);
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions);
    let builder = match builder {
        Ok(builder) => builder,
        Err(why) => {
            around.findings.error(&place, why.to_string());
            return None;
        }
    };
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients.clone()),
        None => builder.with_no_client_auth(),
    };
    let config = builder.with_cert_resolver(Arc::new(Keys(own)));
    let config = TlsServerConfig::from_rustls(config).session_tickets();
    Some(Context {
        with_http2: config.clone().http2(),
        config,
        clients: clients.cloned(),
    })
}

/// The certificates of one server, of several kinds of keys.
#[derive(Debug)]
struct Keys(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        // The first whose kind of key the client can verify.
        let fits = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        self.0.iter().find(fits).or(self.0.first()).cloned()
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
        let chain_pem = read_file(chain, around.folder, around.findings);
        let key_pem = read_file(key, around.folder, around.findings);
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
