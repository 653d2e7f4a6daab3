//! `server`: its names, where it listens, and its locations; and all servers by the addresses at which they listen.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use switchover::gateway::Acceptor;
use switchover::http1::HeadLimits;
use switchover::http2::Http2Server;
use switchover::proxy_protocol::ProxyProtocolAcceptor;
use switchover::route::{HostPattern, Hosts, PathReading};
use switchover::tls::TlsAcceptor;

use super::blocks;
use super::certificates::Certificates;
use super::client_certificates::{Clients, Verify};
use super::directives::{self, Context};
use super::findings::Findings;
use super::limits;
use super::listen::{Address, Listen};
use super::location::{self, Location, Surroundings};
use super::locations::{Locations, Pattern};
use super::phases::lacks_tls;
use super::real_ip::RealIp;
use super::regex::{Captures, Regex};
use super::rewrite::Step;
use super::scope::Scope;
use super::tls_versions;
use super::tree::Directive;
use super::variables::hostname;

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    /// `$server_name`.
    pub(crate) name: String,
    pub(crate) place: super::findings::Place,
    /// In order, before any location.
    pub(crate) steps: Vec<Step>,
    pub(crate) locations: Locations,
    /// What answers where no location is for the path.
    pub(crate) own: Arc<Location>,
    pub(crate) real_ip: Option<RealIp>,
    pub(crate) reading: PathReading,
    /// `merge_slashes`.
    pub(crate) merges_slashes: bool,
    pub(crate) verify: Verify,
    /// Whose certificates it believes; none where it asks for none, or has no certificate of its own.
    pub(crate) clients: Option<Arc<Clients>>,
}

/// How clients of an address are spoken to over TLS.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) certificates: Arc<Certificates>,
}

/// An address with the servers that listen there.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: Address,
    /// One of IPv6 that is for IPv4 as well.
    pub(crate) is_dual: bool,
    servers: Hosts<Arc<Server>>,
    regexes: Vec<(Regex, Arc<Server>)>,
    /// For whatever comes in, by what the default server says.
    pub(crate) acceptor: Acceptor,
    pub(crate) tls: Option<Secured>,
    /// There is a page for clients that speak plain HTTP there (`error_page 497`).
    pub(crate) has_page_for_plain: bool,
    pub(crate) is_http2: bool,
    /// For whoever speaks it.
    pub(crate) http2: Http2Server,
    /// Of requests over it too.
    pub(crate) head_limits: HeadLimits,
    /// How long a client may take to say which of the two it speaks.
    pub(crate) header_timeout: Duration,
    /// `merge_slashes` of the default server: the path is read before it is known whose it is.
    pub(crate) merges_slashes: bool,
    /// Learns whose connections they are.
    pub(crate) proxied: Option<ProxyProtocolAcceptor>,
}

impl Listener {
    /// Whether a server here has the name of a host.
    pub(crate) fn knows(&self, host: &str) -> bool {
        let name = switchover::http1::host_name(host);
        let by_regex = |(regex, _): &(Regex, Arc<Server>)| regex.is_match(&name).unwrap_or(false);
        self.servers.find_named(Some(host)).is_some() || self.regexes.iter().any(by_regex)
    }

    /// The server for a host: by an exact name, by the longest mask, by the first regular expression, else the default.
    pub(crate) fn server(&self, host: Option<&str>) -> (Arc<Server>, Option<(Regex, Captures)>) {
        if let Some(server) = self.servers.find_named(host) {
            return (server.clone(), None);
        }
        if let Some(host) = host {
            let name = switchover::http1::host_name(host);
            for (regex, server) in &self.regexes {
                if let Ok(Some(captures)) = regex.captures(&name) {
                    return (server.clone(), Some((regex.clone(), captures)));
                }
            }
        }
        let server = self.servers.find(host).cloned();
        (server.expect("a listener has a server"), None)
    }

    pub(crate) fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.iter()
    }
}

/// A server on its way to its listeners.
struct Read {
    server: Arc<Server>,
    names: Vec<HostPattern>,
    regexes: Vec<Regex>,
    listens: Vec<Listen>,
    scope: Scope,
}

/// Reads all servers.
pub(crate) fn read(blocks: &[&Directive], http: &Scope, around: &mut Surroundings<'_>) -> Vec<Listener> {
    let servers: Vec<Read> = blocks.iter().map(|block| Read::of(block, http, around)).collect();
    let mut addresses: Vec<&Address> = Vec::new();
    for listen in servers.iter().flat_map(|server| &server.listens) {
        if !addresses.contains(&&listen.address) {
            addresses.push(&listen.address);
        }
    }
    addresses
        .into_iter()
        .filter_map(|address| listener(address, &servers, around))
        .collect()
}

impl Read {
    fn of(block: &Directive, http: &Scope, around: &mut Surroundings<'_>) -> Read {
        let lines = directives::carried_out(block.lines(), Context::Server, around.findings);
        let scope = around.within(http, &lines);
        let (names, regexes) = names(&lines, around.findings);
        let name = lines
            .iter()
            .find(|line| line.name == "server_name")
            .map_or("", |line| named(line.first()));
        let mut listens: Vec<Listen> = lines
            .iter()
            .filter(|line| line.name == "listen")
            .flat_map(|line| Listen::read(line, around.findings))
            .collect();
        if !lines.iter().any(|line| line.name == "listen") {
            listens.push(Listen::everywhere());
        }
        if scope.is_tls.as_ref().is_some_and(|on| on.value) {
            listens.iter_mut().for_each(|listen| listen.is_tls = true);
        }
        if scope.is_http2.as_ref().is_some_and(|on| on.value) {
            listens.iter_mut().for_each(|listen| listen.is_http2 = true);
        }
        let merges = scope.handling.merge_slashes.as_ref().is_none_or(|on| on.value);
        let server = Server {
            // As in nginx: the dot in front is no part of it, and it has small letters, unless it is an expression.
            name: match name.strip_prefix('.').unwrap_or(name) {
                expression if expression.starts_with('~') => expression.to_owned(),
                name => name.to_ascii_lowercase(),
            },
            place: block.place.clone(),
            steps: blocks::server_steps(&lines, around),
            locations: location::read(&lines, &scope, &Pattern::None, around),
            own: Arc::new(location::of_server(block, &lines, &scope, around)),
            real_ip: RealIp::new(&scope),
            reading: around.limits.reading,
            merges_slashes: merges,
            clients: match scope.certificates.is_empty() {
                true => None,
                false => Clients::read(&scope, around),
            },
            verify: scope
                .verify_client
                .as_ref()
                .map_or(Verify::Off, |said| said.value),
        };
        Read {
            server: Arc::new(server),
            names,
            regexes,
            listens,
            scope,
        }
    }
}

/// A name as it is written: `$hostname` is that of this machine.
pub(crate) fn named(written: &str) -> &str {
    match written {
        "$hostname" => hostname(),
        written => written,
    }
}

fn names(lines: &[&Directive], findings: &mut Findings) -> (Vec<HostPattern>, Vec<Regex>) {
    let (mut names, mut regexes) = (Vec::new(), Vec::new());
    for line in lines.iter().filter(|line| line.name == "server_name") {
        for name in line.arguments.iter().map(|name| named(name)) {
            let wrong = |why: String| format!("server_name {name}: {why}");
            if let Some(body) = name.strip_prefix('~') {
                // Names have no case.
                match Regex::new(body, true) {
                    Ok(regex) => regexes.push(regex),
                    Err(why) => findings.error(&line.place, wrong(why)),
                }
                continue;
            }
            match name.parse::<HostPattern>() {
                Ok(name) => names.push(name),
                Err(_) if name.starts_with('$') => {
                    let why =
                        "only $hostname stands for something here, in nginx too: no request is for this name";
                    findings.warning(&line.place, wrong(why.to_owned()));
                }
                Err(why) => findings.error(&line.place, wrong(why.to_string())),
            }
        }
    }
    // A server without a name is for requests without a host.
    if names.is_empty() && regexes.is_empty() {
        names.extend("".parse::<HostPattern>());
    }
    (names, regexes)
}

fn listener(address: &Address, servers: &[Read], around: &mut Surroundings<'_>) -> Option<Listener> {
    let here = || {
        let all = servers.iter();
        all.filter_map(|server| {
            let listen = server.listens.iter().find(|listen| listen.address == *address);
            listen.map(|listen| (server, listen))
        })
    };
    let mut hosts = Hosts::default();
    let mut regexes = Vec::new();
    let default = here()
        .find(|(_, listen)| listen.is_default)
        .or_else(|| here().next());
    let (default, _) = default?;
    let protocols = default.scope.protocols.as_ref();
    let protocols = protocols.map_or_else(tls_versions::all, |said| said.value.clone());
    let mut certificates = Certificates::speaking(protocols.clone());
    let is_tls = here().any(|(_, listen)| listen.is_tls);
    for (read, listen) in here() {
        if is_tls {
            let own = read.scope.protocols.as_ref();
            if let Some(own) = own.filter(|own| !tls_versions::are_equal(&own.value, &protocols)) {
                let text = format!(
                    "ssl_protocols of the default server at {address} holds for every server there: this one has no effect"
                );
                around.findings.hint(&own.place, text);
            }
            let said = (&read.scope, read.server.clients.as_ref());
            certificates.add(&read.names, &read.regexes, listen.is_default, said, around);
        }
        let mut names = read.names.clone();
        let mut own = HashSet::new();
        names.retain(|name| own.insert(name.clone()));
        names.retain(|name| {
            let is_new = !hosts.has(name);
            if !is_new && name.to_string() != "" {
                let text =
                    format!("{name} is the name of another server at {address} already: that one has it");
                around.findings.warning(&read.server.place, text);
            }
            is_new
        });
        regexes.extend(
            read.regexes
                .iter()
                .map(|regex| (regex.clone(), read.server.clone())),
        );
        let server = read.server.clone();
        let added = match listen.is_default {
            true => hosts.add_default(names, server),
            false => hosts.add(names, server),
        };
        if let Err(why) = added {
            around
                .findings
                .error(&read.server.place, format!("{address}: {why}"));
        }
    }
    let pages = here().flat_map(|(read, _)| &read.server.own.handling.error_pages);
    let adds_always = here().any(|(read, _)| read.server.own.fields.adds_always());
    // Without either, the library answers those without TLS.
    let has_page_for_plain =
        adds_always || lacks_tls().is_some_and(|status| pages.clone().any(|page| page.is_for(status)));
    let is_http2 = here().any(|(_, listen)| listen.is_http2);
    let mut tls = None;
    if is_tls {
        if certificates.is_empty() {
            let text = "listen … ssl needs ssl_certificate and ssl_certificate_key";
            around.findings.error(&default.server.place, text);
            return None;
        }
        let certificates = Arc::new(certificates);
        tls = Some(Secured {
            acceptor: certificates.acceptor(is_http2),
            certificates,
        });
    }
    Some(Listener {
        address: address.clone(),
        is_dual: here().any(|(_, listen)| listen.is_dual),
        // One line is for all servers at the address, as in nginx.
        proxied: here()
            .any(|(_, listen)| listen.is_proxied)
            .then(|| limits::proxied(&default.scope)),
        servers: hosts,
        regexes,
        acceptor: Acceptor::new(around.limits.of_listener(&default.scope)),
        tls,
        has_page_for_plain,
        is_http2,
        http2: Http2Server::new(around.limits.of_http2(&default.scope)),
        head_limits: around.limits.request_heads(&default.scope),
        header_timeout: limits::header_timeout(&default.scope),
        merges_slashes: default.server.merges_slashes,
    })
}
