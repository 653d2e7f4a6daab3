//! `upstream`: its servers, and by what rule requests are spread over them. All locations that name it, of all workers, have the
//! same group of the library.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use switchover::service::RelayConfig;
use switchover::upstream::{Balance, Group};

use super::balancing::{Method, Written, stays};
use super::findings::Findings;
use super::measures;
use super::names::Names;
use super::peer::{Address, OneServer, Peer};
use super::proxy;
use super::resolver::Resolver;
use super::scope::Scope;
use super::sticky::Sticky;
use super::text::Text;
use super::tree::Directive;

/// Longer than anyone waits. How long one server may take is for the location to say.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The servers that a name in `proxy_pass` stands for.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) group: Group<Peer>,
    /// `hash`: what decides whose a request is.
    pub(crate) key: Option<Text>,
    pub(crate) sticky: Option<Arc<Sticky>>,
    /// It has a block, and is not the one server of a URL.
    pub(crate) is_named: bool,
    keeping: Keeping,
    /// How it is written; none of one server.
    pub(crate) shown: Option<String>,
}

/// How long connections are kept, where it is said.
#[derive(Clone, Copy, Debug, Default)]
struct Keeping {
    /// `keepalive_timeout`: without requests.
    idle: Option<Duration>,
    /// `keepalive_requests`.
    requests: Option<usize>,
    /// `keepalive_time`.
    age: Option<Duration>,
}

impl Keeping {
    /// None if the line is about something else.
    fn read(&mut self, line: &Directive) -> Option<Result<(), String>> {
        let first = line.first();
        Some(match &*line.name {
            "keepalive_timeout" => measures::time(first).map(|time| self.idle = Some(time)),
            "keepalive_time" => measures::time(first).map(|time| self.age = Some(time)),
            "keepalive_requests" => measures::number(first).map(|number| self.requests = Some(number)),
            _ => return None,
        })
    }
}

impl Upstream {
    /// What `upstream NAME { … }` says.
    pub(crate) fn read(
        block: &Directive,
        lines: &[&Directive],
        scope: &Scope,
        names: &Names,
        findings: &mut Findings,
    ) -> Upstream {
        let mut servers = Vec::new();
        let (mut method, mut sticky): (Option<Method>, Option<Sticky>) = (None, None);
        let mut keeping = Keeping::default();
        for line in lines {
            if line.name == "server" {
                let has_backups = method.as_ref().is_none_or(Method::has_backups);
                servers.push(OneServer::read(line, has_backups, findings));
            } else if line.name == "sticky" {
                sticky = read_sticky(line, names, findings).or(sticky);
            } else if let Some(read) = keeping.read(line) {
                if let Err(why) = read {
                    findings.error(&line.place, format!("{}: {why}", line.shown()));
                }
            } else if let Some(read) = Method::read(line, names, findings) {
                if method.replace(read).is_some() {
                    let text = format!("{}: it takes the place of the rule above", line.shown());
                    findings.hint(&line.place, text);
                }
            }
        }
        if servers.is_empty() {
            let text = format!("there are no servers in upstream {}", block.first());
            findings.error(&block.place, text);
        }
        let mut servers: Vec<OneServer> = servers.into_iter().flatten().collect();
        let resolver = resolver(lines, scope, findings);
        for server in servers.iter_mut().filter(|server| server.is_resolved) {
            server.resolver.clone_from(&resolver);
        }
        let written = servers
            .iter()
            .map(|server| (server.name(), server.written.clone()));
        let (mut balance, key) = method.map_or((Balance::RoundRobin, None), |method| {
            method.into_parts(Written(written.collect()))
        });
        let sticky = sticky.map(|mut sticky| {
            for server in &servers {
                if let Some(route) = &server.route {
                    sticky.add_route(&server.name(), route);
                }
            }
            Arc::new(sticky)
        });
        if let Some(sticky) = &sticky {
            balance = stays(sticky.clone(), balance);
        }
        Upstream {
            group: group_of(&servers, balance),
            key,
            sticky,
            is_named: true,
            keeping,
            shown: Some(shown(block, lines)),
        }
    }

    /// How a location asks it.
    pub(crate) fn relay(&self, of_location: &RelayConfig) -> RelayConfig {
        let Keeping { idle, requests, age } = self.keeping;
        let relay = of_location.clone();
        let relay = match idle {
            Some(idle) => relay.idle_timeout(idle),
            None => relay,
        };
        let requests = requests.and_then(|requests| u64::try_from(requests).ok());
        relay
            .max_requests_per_connection(requests)
            .max_connection_age(age)
    }

    /// The one server that a URL names.
    pub(crate) fn of_one(address: Address) -> Upstream {
        let group = Group::builder().connect_timeout(FOR_EVER);
        Upstream {
            group: OneServer::at(address).added_to(group).build(),
            key: None,
            sticky: None,
            is_named: false,
            keeping: Keeping::default(),
            shown: None,
        }
    }

    /// The servers that a name in a URL with variables has led to. As in nginx, what fails for one request is asked again by
    /// the next one.
    pub(crate) fn of_found(servers: &[SocketAddr]) -> Upstream {
        let group = Group::builder().connect_timeout(FOR_EVER);
        let group = servers.iter().fold(group, |group, address| {
            OneServer::at(Address::At(*address)).never_out().added_to(group)
        });
        Upstream {
            group: group.build(),
            key: None,
            sticky: None,
            is_named: false,
            keeping: Keeping::default(),
            shown: None,
        }
    }
}

/// Of what a request is spread over, and how, as one line.
fn shown(block: &Directive, lines: &[&Directive]) -> String {
    let rules = lines.iter().filter(|line| line.name != "server");
    let servers = lines.iter().filter(|line| line.name == "server");
    let lines: Vec<String> = rules.chain(servers).map(|line| line.shown()).collect();
    format!(
        "upstream {} ({}): {}",
        block.first(),
        block.place,
        lines.join("; ")
    )
}

/// `resolver` and `resolver_timeout`, those of `http` where there are none.
fn resolver(
    lines: &[&Directive],
    scope: &Scope,
    findings: &mut Findings,
) -> Option<(Arc<Resolver>, Duration)> {
    let line = |name: &str| lines.iter().find(|line| line.name == name);
    let mut wrong =
        |line: &Directive, why: String| findings.error(&line.place, format!("{}: {why}", line.shown()));
    let limit = match line("resolver_timeout").map(|line| (line, measures::time(line.first()))) {
        None => proxy::resolver_timeout(scope),
        Some((_, Ok(limit))) => limit,
        Some((line, Err(why))) => {
            wrong(line, why);
            return None;
        }
    };
    let Some(line) = line("resolver") else {
        let of_http = scope.handling.resolver.as_ref()?;
        return Some((of_http.value.clone(), limit));
    };
    match Resolver::read(line) {
        Ok(resolver) => Some((Arc::new(resolver), limit)),
        Err(why) => {
            wrong(line, why);
            None
        }
    }
}

fn group_of(servers: &[OneServer], balance: Balance) -> Group<Peer> {
    let is_up = |name: &str| servers.iter().any(|server| !server.down && server.name() == name);
    // One that is down has its share of the keys, as in nginx. One that is there a second time is not down, and the addresses of a
    // name are not looked up for it.
    let is_down = |server: &&OneServer| server.down && !server.is_named() && !is_up(&server.name());
    let builder = Group::builder()
        .connect_timeout(FOR_EVER)
        .count_requests()
        .balance(balance);
    let kept = servers.iter().filter(|server| !server.down || is_down(server));
    let group = kept
        .fold(builder, |builder, server| server.clone().added_to(builder))
        .build();
    for server in servers.iter().filter(is_down) {
        let _ = group.set_down(&server.name(), true);
    }
    group
}

fn read_sticky(line: &Directive, names: &Names, findings: &mut Findings) -> Option<Sticky> {
    match Sticky::read(line, names, findings) {
        Some(Ok(sticky)) => return Some(sticky),
        Some(Err(why)) => findings.error(&line.place, format!("{}: {why}", line.shown())),
        None => {
            let text =
                "only cookie and route are carried out; ip_hash and hash keep clients with one server too";
            findings.warning(&line.place, format!("{}: {text}", line.shown()));
        }
    }
    None
}
