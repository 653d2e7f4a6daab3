//! `upstream`: its servers, and by what rule requests are spread over them. All locations that name it, of all workers, have the
//! same group of the library.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use switchover::connect::ConnectRequest;
use switchover::service::RelayConfig;
use switchover::upstream::{Balance, CustomKey, Group, Key};

use super::findings::Findings;
use super::measures;
use super::names::Names;
use super::peer::{Address, OneServer, Peer};
use super::text::Text;
use super::tree::Directive;
use super::tries;

/// Longer than anyone waits. How long one server may take is for the location to say.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The servers that a name in `proxy_pass` stands for.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) group: Group<Peer>,
    /// `hash`: what decides whose a request is.
    pub(crate) key: Option<Text>,
    /// It has a block, and is not the one server of a URL.
    pub(crate) is_named: bool,
    /// `keepalive_timeout`: how long a connection without requests is kept, where it is said.
    idle: Option<Duration>,
}

impl Upstream {
    /// What `upstream NAME { … }` says.
    pub(crate) fn read(
        block: &Directive,
        lines: &[&Directive],
        names: &Names,
        findings: &mut Findings,
    ) -> Upstream {
        let mut group = Group::builder().connect_timeout(FOR_EVER).count_requests();
        let mut method: Option<Method> = None;
        let mut is_empty = true;
        let mut idle = None;
        for line in lines {
            if line.name == "server" {
                is_empty = false;
                let has_backups = method.as_ref().is_none_or(Method::has_backups);
                if let Some(server) = OneServer::read(line, has_backups, findings) {
                    group = server.added_to(group);
                }
            } else if line.name == "keepalive_timeout" {
                match measures::time(line.first()) {
                    Ok(time) => idle = Some(time),
                    Err(why) => findings.error(&line.place, format!("{}: {why}", line.shown())),
                }
            } else if matches!(&*line.name, "keepalive_requests" | "keepalive_time") {
                let text = format!(
                    "{} is not carried out: a connection is kept for as long as it has requests",
                    line.name
                );
                findings.hint(&line.place, text);
            } else if let Some(read) = Method::read(line, names, findings) {
                if method.replace(read).is_some() {
                    let text = format!("{}: it takes the place of the rule above", line.shown());
                    findings.hint(&line.place, text);
                }
            }
        }
        if is_empty {
            let text = format!("there are no servers in upstream {}", block.first());
            findings.error(&block.place, text);
        }
        let (balance, key) = method.map_or((Balance::RoundRobin, None), Method::into_parts);
        Upstream {
            group: group.balance(balance).build(),
            key,
            is_named: true,
            idle,
        }
    }

    /// How a location asks it.
    pub(crate) fn relay(&self, of_location: &RelayConfig) -> RelayConfig {
        let relay = of_location.clone();
        match self.idle {
            Some(idle) => relay.idle_timeout(idle),
            None => relay,
        }
    }

    /// The one server that a URL names.
    pub(crate) fn of_one(address: Address) -> Upstream {
        let group = Group::builder().connect_timeout(FOR_EVER);
        Upstream {
            group: OneServer::at(address).added_to(group).build(),
            key: None,
            is_named: false,
            idle: None,
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
            is_named: false,
            idle: None,
        }
    }
}

/// By what rule a server is chosen.
enum Method {
    Known(Balance),
    Hash(Text),
}

impl Method {
    /// None for a line that is about something else, or wrong.
    fn read(line: &Directive, names: &Names, findings: &mut Findings) -> Option<Method> {
        let arguments: Vec<&str> = line.arguments.iter().map(String::as_str).collect();
        let known = match (&*line.name, &arguments[..]) {
            ("least_conn", []) => Balance::LeastTunnels,
            ("ip_hash", []) => Balance::Hash(Key::Custom(CustomKey::new(of_address))),
            ("random", []) => Balance::Random,
            ("random", ["two"] | ["two", "least_conn"]) => Balance::PowerOfTwo,
            ("random", ["two", method]) if method.starts_with("least_time") => {
                let text = format!("{}: by the number of tunnels here", line.shown());
                findings.warning(&line.place, text);
                Balance::PowerOfTwo
            }
            ("hash", [key] | [key, "consistent"]) => {
                return Some(Method::Hash(Text::parse(key, names, &line.place, findings)));
            }
            ("least_conn" | "ip_hash" | "random" | "hash", _) => {
                findings.error(&line.place, format!("{}: there is no such rule", line.shown()));
                return None;
            }
            // Connections that are idle are kept anyway, and workers have one group.
            _ => return None,
        };
        Some(Method::Known(known))
    }

    /// nginx: the others have none.
    fn has_backups(&self) -> bool {
        matches!(self, Method::Known(Balance::RoundRobin | Balance::LeastTunnels))
    }

    fn into_parts(self) -> (Balance, Option<Text>) {
        match self {
            Method::Known(balance) => (balance, None),
            Method::Hash(text) => {
                let key = Key::Custom(CustomKey::new(|_| tries::key()));
                (Balance::Hash(key), Some(text))
            }
        }
    }
}

/// `ip_hash`: clients of the same /24 are one.
fn of_address(request: &ConnectRequest<'_>) -> Option<Vec<u8>> {
    Some(match request.hop().client()? {
        IpAddr::V4(address) => address.octets()[..3].to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    })
}
