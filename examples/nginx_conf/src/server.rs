//! `server`: its names, where it listens, and its locations; and all servers by the addresses at which they listen.

use std::collections::HashSet;
use std::sync::Arc;

use switchover::gateway::Acceptor;
use switchover::proxy_protocol::ProxyProtocolAcceptor;
use switchover::route::{HostPattern, HostPatternError, Hosts, Locations};
use switchover::tls::TlsAcceptor;

use super::access_log::Log;
use super::directives::{self, Context};
use super::fields::Fields;
use super::findings::{Findings, Place};
use super::limits;
use super::listen::{Address, Listen};
use super::location::{self, Location, Surroundings};
use super::real_ip::RealIp;
use super::scope::Scope;
use super::steps::Step;
use super::tls::Certificates;
use super::tree::Directive;

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    /// `$server_name`.
    pub(crate) name: String,
    /// In order, before any location.
    pub(crate) steps: Vec<Step>,
    pub(crate) locations: Locations<Location>,
    pub(crate) real_ip: Option<RealIp>,
    pub(crate) fields: Fields,
    pub(crate) default_type: String,
    pub(crate) logs: Arc<[Log]>,
}

/// An address with the servers that listen there.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: Address,
    /// One of IPv6 that is for IPv4 as well.
    pub(crate) is_dual: bool,
    pub(crate) servers: Hosts<Arc<Server>>,
    /// For whatever comes in, by what the default server says.
    pub(crate) acceptor: Acceptor,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Hears whose connections they are.
    pub(crate) proxied: Option<ProxyProtocolAcceptor>,
}

/// A server on its way to its listeners.
struct Read {
    server: Arc<Server>,
    names: Vec<HostPattern>,
    listens: Vec<Listen>,
    scope: Scope,
    place: Place,
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
        let names = names(&lines, around.findings);
        let name = lines
            .iter()
            .find(|line| line.name == "server_name")
            .map_or("", |line| line.first())
            .to_owned();
        let mut listens: Vec<Listen> = lines
            .iter()
            .filter(|line| line.name == "listen")
            .filter_map(|line| Listen::read(line, around.findings))
            .collect();
        if !lines.iter().any(|line| line.name == "listen") {
            listens.push(Listen::everywhere());
        }
        if scope.is_tls.as_ref().is_some_and(|on| on.value) {
            listens.iter_mut().for_each(|listen| listen.is_tls = true);
        }
        let mut locations = Locations::default();
        location::read(&lines, &scope, &name, &mut locations, around);
        let server = Server {
            steps: around.steps(&lines),
            fields: Fields::new(&scope, &name, "", around.findings),
            default_type: location::default_type(&scope),
            logs: scope.logs.clone().into(),
            real_ip: RealIp::new(&scope),
            locations,
            name,
        };
        Read {
            server: Arc::new(server),
            names,
            listens,
            scope,
            place: block.place.clone(),
        }
    }
}

fn names(lines: &[&Directive], findings: &mut Findings) -> Vec<HostPattern> {
    let mut names = Vec::new();
    for line in lines.iter().filter(|line| line.name == "server_name") {
        for name in &line.arguments {
            match name.parse() {
                Ok(name) => names.push(name),
                Err(HostPatternError::RegularExpression) => {
                    let text = format!(
                        "server_name {name}: regular expressions are not carried out; other servers have its hosts"
                    );
                    findings.warning(&line.place, text);
                }
                Err(why) => findings.error(&line.place, format!("server_name {name}: {why}")),
            }
        }
    }
    // A server without a name is for requests without a host.
    if names.is_empty() {
        names.extend("".parse::<HostPattern>());
    }
    names
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
    let mut certificates = Certificates::default();
    let is_tls = here().any(|(_, listen)| listen.is_tls);
    for (read, listen) in here() {
        if is_tls {
            let (names, scope, place) = (&read.names, &read.scope, &read.place);
            certificates.add(
                names,
                listen.is_default,
                scope,
                place,
                around.prefix,
                around.findings,
            );
        }
        let mut names = read.names.clone();
        let mut own = HashSet::new();
        names.retain(|name| own.insert(name.clone()));
        names.retain(|name| {
            let is_new = !hosts.has(name);
            if !is_new && name.to_string() != "" {
                let text =
                    format!("{name} is the name of another server at {address} already: that one has it");
                around.findings.warning(&read.place, text);
            }
            is_new
        });
        let server = read.server.clone();
        let added = match listen.is_default {
            true => hosts.add_default(names, server),
            false => hosts.add(names, server),
        };
        if let Err(why) = added {
            around.findings.error(&read.place, format!("{address}: {why}"));
        }
    }
    let default = here()
        .find(|(_, listen)| listen.is_default)
        .or_else(|| here().next());
    let (default, _) = default?;
    let tls = match is_tls.then(|| certificates.acceptor()) {
        None => None,
        Some(Ok(acceptor)) => Some(acceptor),
        Some(Err(why)) => {
            around.findings.error(&default.place, why.to_string());
            return None;
        }
    };
    Some(Listener {
        address: address.clone(),
        is_dual: here().any(|(_, listen)| listen.is_dual),
        // One line is for all servers at the address, as in nginx.
        proxied: here()
            .any(|(_, listen)| listen.is_proxied)
            .then(|| limits::proxied(&default.scope)),
        servers: hosts,
        acceptor: Acceptor::new(around.limits.of_listener(&default.scope)),
        tls,
    })
}
