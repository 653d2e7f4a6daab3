//! By what rule of an `upstream` a server is chosen for a request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use switchover::connect::ConnectRequest;
use switchover::upstream::{Balance, Choice, CustomBalance};

use super::distribution::{self, Peer, Ring};
use super::findings::Findings;
use super::names::Names;
use super::sticky::Sticky;
use super::text::Text;
use super::tree::Directive;
use super::tries;

/// `sticky`, in front of another rule.
pub(crate) fn stays(sticky: Arc<Sticky>, otherwise: Balance) -> Balance {
    let rule = CustomBalance::new(move |_, servers| {
        for server in servers {
            if let Some(source) = server.source {
                sticky.found(source, server.name);
            }
        }
        let wanted = tries::wanted()?;
        servers
            .iter()
            .position(|server| server.is_open && sticky.is_wanted(&wanted, server.name))
    });
    Balance::Custom(rule.otherwise(otherwise))
}

/// By what rule a server is chosen.
pub(crate) enum Method {
    Known(Balance),
    Address,
    Hash { key: Text, is_consistent: bool },
}

/// What the lines of servers call them, by their names in the group.
#[derive(Debug)]
pub(crate) struct Written(pub(crate) HashMap<String, String>);

impl Written {
    fn peers<'a>(&'a self, servers: &[Choice<'a>]) -> Vec<Peer<'a>> {
        let peer = |server: &Choice<'a>| {
            let written = self.0.get(server.source.unwrap_or(server.name));
            Peer {
                written: written.map_or(server.name, String::as_str),
                weight: server.weight,
                is_open: server.is_open,
            }
        };
        servers.iter().map(peer).collect()
    }
}

impl Method {
    /// None for a line that is about something else, or wrong.
    pub(crate) fn read(line: &Directive, names: &Names, findings: &mut Findings) -> Option<Method> {
        let arguments: Vec<&str> = line.arguments.iter().map(String::as_str).collect();
        let known = match (&*line.name, &arguments[..]) {
            ("least_conn", []) => Balance::LeastTunnels,
            ("ip_hash", []) => return Some(Method::Address),
            ("random", []) => Balance::Random,
            ("random", ["two"] | ["two", "least_conn"]) => Balance::PowerOfTwo,
            ("random", ["two", method]) if method.starts_with("least_time") => {
                let text = format!("{}: by the number of tunnels here", line.shown());
                findings.warning(&line.place, text);
                Balance::PowerOfTwo
            }
            ("hash", [key] | [key, "consistent"]) => {
                return Some(Method::Hash {
                    key: Text::parse(key, names, &line.place, findings),
                    is_consistent: arguments.len() > 1,
                });
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
    pub(crate) fn has_backups(&self) -> bool {
        matches!(self, Method::Known(Balance::RoundRobin | Balance::LeastTunnels))
    }

    /// The rule of the group, and the text that it needs of each request.
    pub(crate) fn into_parts(self, written: Written) -> (Balance, Option<Text>) {
        let (rule, key) = match self {
            Method::Known(balance) => return (balance, None),
            Method::Address => (by_address(written), None),
            Method::Hash {
                key,
                is_consistent: false,
            } => (by_key(written), Some(key)),
            Method::Hash {
                key,
                is_consistent: true,
            } => (consistent(written), Some(key)),
        };
        (Balance::Custom(rule), key)
    }
}

fn by_address(written: Written) -> CustomBalance {
    CustomBalance::new(move |request, servers| {
        distribution::by_address(&address(request), &written.peers(servers))
    })
}

fn by_key(written: Written) -> CustomBalance {
    CustomBalance::new(move |_, servers| distribution::by_key(&tries::key()?, &written.peers(servers)))
}

fn consistent(written: Written) -> CustomBalance {
    let (ring, turns): (Mutex<Arc<Ring>>, AtomicUsize) = Default::default();
    CustomBalance::new(move |_, servers| {
        let peers = written.peers(servers);
        let ring = {
            let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            if !ring.is_of(&peers) {
                *ring = Arc::new(Ring::of(&peers));
            }
            ring.clone()
        };
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        ring.find(&tries::key()?, &peers, turn)
    })
}

/// Clients of the same /24 are one, and so are those without an address.
fn address(request: &ConnectRequest<'_>) -> Vec<u8> {
    match request.hop().client() {
        Some(IpAddr::V4(address)) => address.octets()[..3].to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
        None => vec![0; 3],
    }
}
